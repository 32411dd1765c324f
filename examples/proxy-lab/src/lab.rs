//! What both proxies must do, whatever their layer.

use std::collections::BTreeMap;

use crate::backend::Backend;
use crate::client::get;
use crate::process::Proxy;
use crate::python::PythonServer;
use crate::wait;

/// The walk-through of `docs/lab.md`: two servers take turns, one dies and nobody notices, it comes
/// back and is used again. `tried_twice` is what the log says of a request that met the dead one.
///
/// # Panics
/// When it goes otherwise.
pub fn two_servers_take_turns_one_dies_and_comes_back(
    proxy: &str,
    scratch: &str,
    tried_twice: &[&str],
) {
    let one = PythonServer::start(scratch, "one");
    let mut two = PythonServer::start(scratch, "two");
    let proxy = Proxy::over(proxy, &[&one.address, &two.address], &["--policy", "round_robin"]);
    let ask = || {
        let reply = get(proxy.address(), "/");
        assert_eq!(reply.status, 200);
        reply.text()
    };

    let texts: Vec<_> = (0..10).map(|_| ask()).collect();
    assert!(texts.iter().any(|text| text == "one\n") && texts.iter().any(|text| text == "two\n"));
    assert!(texts.windows(2).all(|pair| pair[0] != pair[1]), "they take turns: {texts:?}");

    two.kill();
    assert!((0..10).all(|_| ask() == "one\n"), "every request is answered, by the one that lives");
    let tried_twice: Vec<_> = [one.address.as_str()].iter().chain(tried_twice).copied().collect();
    proxy.logged(&tried_twice);

    two.restart();
    // It was ejected, and may show with one request, in about a second, that it is back.
    wait::until("the second server to be used again", || ask() == "two\n");
    wait::until("both to take turns again", || ask() == "one\n");
    let texts: Vec<_> = (0..10).map(|_| ask()).collect();
    assert!(texts.windows(2).all(|pair| pair[0] != pair[1]), "it is used again: {texts:?}");
}

/// Weights 5, 1, 1 give 50, 10 and 10 of 70 requests.
///
/// # Panics
/// When they don't.
pub fn weights_are_exact(proxy: &str) {
    let backends = ["a", "b", "c"].map(Backend::named);
    let [a, b, c] = &backends;
    let flags =
        [format!("{},weight=5", a.address), format!("{},weight=1", b.address), c.address.clone()];
    let proxy = Proxy::over(proxy, &flags, &[]);
    let mut counts = BTreeMap::new();
    for _ in 0..70 {
        *counts.entry(get(proxy.address(), "/").text()).or_insert(0) += 1;
    }
    let expected = [("a", 50), ("b", 10), ("c", 10)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(counts, BTreeMap::from(expected));
}
