//! Certificates that are read anew while connections are open.

use std::fs;

use proxy_lab::backend::Backend;
use proxy_lab::process::Proxy;
use proxy_lab::wait;

use crate::tls_ended::over;
use crate::tls_party::{Authority, Issued, connect, get};

/// Waits until this certificate is shown.
fn until_shown(authority: &Authority, proxy: &Proxy, issued: &Issued) {
    wait::until("the other certificate", || {
        let talk = connect(authority.client(&[]), proxy.address(), "shop.example").unwrap();
        issued.is_shown_by(&talk)
    });
}

fn until_warned(proxy: &Proxy, pieces: &[&str]) {
    wait::until(&format!("a warning with {pieces:?}"), || {
        proxy.errors().iter().any(|line| pieces.iter().all(|piece| line.contains(piece)))
    });
}

#[test]
fn a_new_certificate_is_taken_under_open_connections() {
    let authority = Authority::new();
    let [first, second, third] = [(); 3].map(|()| authority.issue(&["shop.example"]));
    let files = first.files();
    let backend = Backend::named("a");
    let proxy = over(&backend, &[&files], "", "");
    let mut open = connect(authority.client(&[]), proxy.address(), "shop.example").unwrap();
    assert!(first.is_shown_by(&open));
    assert_eq!(get(&mut open), "a");

    second.write(&files);
    proxy.signal("HUP");
    until_shown(&authority, &proxy, &second);
    assert_eq!(get(&mut open), "a", "the open connection goes on");

    // By itself, too.
    third.write(&files);
    until_shown(&authority, &proxy, &third);
    assert_eq!(get(&mut open), "a");
    proxy.logged(&["l4-proxy: tls: ", &files.certificate.display().to_string(), ": read anew"]);
}

#[test]
fn a_file_that_is_wrong_keeps_the_certificate_and_is_named() {
    let authority = Authority::new();
    let [first, second] = [(); 2].map(|()| authority.issue(&["shop.example"]));
    let files = first.files();
    let other = authority.issue(&["other.example"]).files();
    let backend = Backend::named("a");
    let mut proxy = over(&backend, &[&other, &files], "", "");
    let certificate = fs::read(&files.certificate).unwrap();
    let key = fs::read(&files.key).unwrap();
    let name = |path: &std::path::Path| path.display().to_string();
    let stays = "; the old certificate stays";
    let still_first = |proxy: &Proxy| {
        let talk = connect(authority.client(&[]), proxy.address(), "shop.example").unwrap();
        assert!(first.is_shown_by(&talk));
    };

    fs::write(&files.certificate, &certificate[..certificate.len() / 2]).unwrap();
    proxy.signal("HUP");
    until_warned(&proxy, &["l4-proxy: tls: ", &name(&files.certificate), stays]);
    still_first(&proxy);

    fs::write(&files.certificate, &certificate).unwrap();
    fs::write(&files.key, &key[..key.len() / 2]).unwrap();
    proxy.signal("HUP");
    until_warned(&proxy, &[&name(&files.key), "private key", stays]);
    still_first(&proxy);

    fs::remove_file(&files.key).unwrap();
    proxy.signal("HUP");
    until_warned(&proxy, &[&name(&files.key), "No such file", stays]);
    still_first(&proxy);

    // The one beside it changes all the same, and the warning is not said again at every look.
    let renewed = authority.issue(&["other.example"]);
    renewed.write(&other);
    wait::until("the other name's certificate", || {
        let talk = connect(authority.client(&[]), proxy.address(), "other.example").unwrap();
        renewed.is_shown_by(&talk)
    });
    still_first(&proxy);

    second.write(&files);
    until_shown(&authority, &proxy, &second);
    let missing = proxy.errors().iter().filter(|line| line.contains("No such file")).count();
    assert_eq!(missing, 1, "{:?}", proxy.errors());
    let key_lines = [first.key_lines(), second.key_lines()].concat();
    let log = [proxy.output(), proxy.errors()].concat().join("\n");
    assert!(key_lines.iter().all(|line| !log.contains(line)));
    assert!(proxy.is_running());
}
