//! Whose tokens are good where: secrets, pools, epochs, several proxies.

use std::collections::BTreeSet;

use proxy_lab::backend::Backend;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;

use super::{NAMES, ask, assert_misses, over, session};
use crate::{PROXY, SCRATCH};

const OLD: &str = "000102030405060708090a0b0c0d0e0f";
const NEW: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

fn sealed(secret: &str, more: &str) -> String {
    format!("mode = \"cookie\"\nsecret = \"{secret}\"\n{more}")
}

#[test]
fn a_secret_is_changed_over_restarts_and_no_session_is_lost() {
    let backends = NAMES.map(Backend::named);
    let is_hit = |proxy: &Proxy, (line, backend): &(String, String)| {
        let answer = ask(proxy, "/", line);
        assert_eq!((answer.word(), answer.backend()), ("hit", backend.clone()));
    };
    let before = session(&over(&backends, &sealed(OLD, "")), "srv");
    let between = {
        let proxy = over(&backends, &sealed(NEW, &format!("old_secrets = [\"{OLD}\"]")));
        is_hit(&proxy, &before);
        session(&proxy, "srv")
    };
    let after = over(&backends, &sealed(NEW, ""));
    is_hit(&after, &between);
    assert_misses(&after, "/", &before.0);
}

#[test]
fn a_raised_epoch_places_all_sessions_anew() {
    let backends = NAMES.map(Backend::named);
    let (old, _) = session(&over(&backends, &sealed(OLD, "epoch = 1")), "srv");
    let raised = over(&backends, &sealed(OLD, "epoch = 2"));
    assert_misses(&raised, "/", &old);
    let (new, _) = session(&raised, "srv");
    assert_eq!(ask(&raised, "/", &new).word(), "hit");
}

#[test]
fn a_token_of_another_pool_is_a_miss() {
    let backends = NAMES.map(Backend::named);
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    let pool = |name: &str| {
        format!(
            "[pools.{name}]\nbackends = {addresses:?}\n\
             [pools.{name}.sticky]\nreport = \"x-session\"\n{}",
            sealed(OLD, "")
        )
    };
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\npath_prefix = \"/b\"\npool = \"b\"\n[[routes]]\npool = \"a\"\n{}{}",
        pool("a"),
        pool("b")
    );
    let file = ConfigFile::new(SCRATCH, "audience", &text);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let (line, _) = session(&proxy, "srv");
    assert_eq!(ask(&proxy, "/", &line).word(), "hit");
    assert_misses(&proxy, "/b", &line);
}

#[test]
fn proxies_with_the_same_secret_agree_on_every_session() {
    let backends = NAMES.map(Backend::named);
    let proxies = [0, 1].map(|_| over(&backends, &sealed(OLD, "")));
    let mut used = BTreeSet::new();
    for n in 0..30 {
        let (line, backend) = session(&proxies[n % 2], "srv");
        for proxy in &proxies {
            let answer = ask(proxy, "/", &line);
            assert_eq!((answer.word(), answer.backend()), ("hit", backend.clone()));
        }
        used.insert(backend);
    }
    assert_eq!(used.len(), NAMES.len());
    let said = |proxy: &Proxy| proxy.output().iter().any(|line| line.contains("not given"));
    assert!(!proxies.iter().any(said));
}

#[test]
fn without_a_secret_each_start_draws_one_and_says_so() {
    let backends = NAMES.map(Backend::named);
    let [one, two] = [0, 1].map(|_| over(&backends, "mode = \"cookie\""));
    for proxy in [&one, &two] {
        proxy.logged(&["pools.a.sticky.secret: not given", "after a restart", "openssl rand"]);
    }
    let (line, _) = session(&one, "srv");
    assert_misses(&two, "/", &line);
}
