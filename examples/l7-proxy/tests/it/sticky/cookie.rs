//! The cookie: when it is set, as what, who sees it, and how long it is good.

use proxy_lab::backend::Backend;
use proxy_lab::process::Proxy;
use proxy_lab::wait;

use super::{Answer, NAMES, ask, cookie, counted, over, session};

#[test]
fn a_client_is_given_a_cookie_once_and_stays() {
    let proxy = over(&NAMES.map(Backend::named), "mode = \"cookie\"");
    let first = ask(&proxy, "/", "");
    assert_eq!(first.word(), "new");
    let [set] = first.set()[..] else { panic!("{:?}", first.set()) };
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=1800; SameSite=Lax; HttpOnly");
    for _ in 0..6 {
        let next = ask(&proxy, "/", &cookie(pair));
        assert_eq!((next.word(), next.backend()), ("hit", first.backend()));
        assert_eq!(next.set(), [""; 0]);
    }
    proxy.logged(&["GET / 200", "attempts=1 pin=new"]);
    proxy.logged(&["GET / 200", "attempts=1 pin=hit"]);
    assert_eq!((counted(&proxy, "new"), counted(&proxy, "hit")), (1, 6));
    // Other clients go elsewhere.
    let others: Vec<_> = (0..3).map(|_| ask(&proxy, "/", "").backend()).collect();
    assert!(others.iter().any(|backend| *backend != first.backend()), "{others:?}");
}

#[test]
fn the_cookie_has_the_attributes_of_the_configuration() {
    let backends = NAMES.map(Backend::named);
    for (name, attributes, expected) in [
        (
            "__Host-pin",
            "{ secure = true, same_site = \"none\", partitioned = true, max_age = \"session\" }",
            "Path=/; SameSite=None; Secure; HttpOnly; Partitioned",
        ),
        (
            "pin",
            "{ path = \"/shop\", domain = \"shop.example\", same_site = \"strict\", http_only = false }",
            "Path=/shop; Domain=shop.example; Max-Age=60; SameSite=Strict",
        ),
    ] {
        let sticky = format!(
            "mode = \"cookie\"\nname = \"{name}\"\nidle_ms = 60000\nattributes = {attributes}"
        );
        let proxy = over(&backends, &sticky);
        let first = ask(&proxy, "/", "");
        let kept = first.kept(name);
        assert_eq!(first.set(), [format!("{kept}; {expected}")]);
        assert_eq!(ask(&proxy, "/", &cookie(&kept)).word(), "hit");
    }
}

#[test]
fn the_backend_sees_all_cookies_but_ours_as_they_were() {
    let backends = [Backend::named("one")];
    let proxy = over(&backends, "mode = \"cookie\"");
    let (line, _) = session(&proxy, "srv");
    let pair = line.trim_start_matches("Cookie: ").trim_end();
    for (sent, expected) in [
        (vec![format!("a=1;  b=\"x;y\" ;{pair}; c")], vec!["a=1;  b=\"x;y\" ; c"]),
        (
            vec![format!("{pair}; d==; =e"), pair.to_owned(), "srvx=1; Srv=2;".to_owned()],
            vec!["d==; =e", "srvx=1; Srv=2;"],
        ),
        (vec![format!("srv = forged;{pair}")], vec![]),
        (vec![format!("\tlang=\u{e9};;{pair};srv")], vec!["lang=\u{e9};;srv"]),
    ] {
        let lines: String = sent.iter().map(|sent| cookie(sent)).collect();
        assert_eq!(ask(&proxy, "/", &lines).word(), "hit", "{sent:?}");
        let request = backends[0].requests().pop().unwrap();
        let seen = request.headers.iter().filter(|(name, _)| name == "cookie");
        let seen: Vec<_> = seen.map(|(_, value)| value.as_str()).collect();
        assert_eq!(seen, expected, "{sent:?}");
    }
}

#[test]
fn only_answers_that_give_the_cookie_are_kept_from_shared_caches() {
    let cacheable = Backend::new(|connection| {
        while connection.request().is_some() {
            connection.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nCache-Control: public, max-age=60\r\n\
                 CDN-Cache-Control: max-age=600\r\nSurrogate-Control: max-age=600\r\n\
                 Set-Cookie: lang=en\r\n\r\none",
            );
        }
    });
    let proxy = over(&[cacheable], "mode = \"cookie\"");
    let caching = |answer: &Answer| {
        ["cache-control", "cdn-cache-control", "surrogate-control"]
            .map(|name| answer.0.header(name).map(str::to_owned))
    };
    let first = ask(&proxy, "/", "");
    assert_eq!(caching(&first), [Some("private, max-age=60".to_owned()), None, None]);
    assert_eq!(first.set().len(), 2, "the application's cookie is still there");
    let next = ask(&proxy, "/", &cookie(&first.kept("srv")));
    let untouched = ["public, max-age=60", "max-age=600", "max-age=600"];
    assert_eq!(caching(&next), untouched.map(|text| Some(text.to_owned())));
    assert_eq!(next.set(), ["lang=en"]);
}

/// Asks with the cookie that it has got last until this came of it. Says how often it got another one.
fn until(proxy: &Proxy, word: &str, line: &mut String) -> usize {
    let mut renewals = 0;
    wait::until(&format!("a {word}"), || {
        let answer = ask(proxy, "/", line);
        let is_it = answer.word() == word;
        if !answer.set().is_empty() {
            *line = cookie(&answer.kept("srv"));
            renewals += usize::from(!is_it);
        }
        wait::pause(std::time::Duration::from_millis(50));
        is_it
    });
    renewals
}

#[test]
fn a_cookie_is_renewed_at_half_its_time_and_an_old_one_expires() {
    let proxy = over(&NAMES.map(Backend::named), "mode = \"cookie\"\nidle_ms = 4000");
    let (old, backend) = session(&proxy, "srv");
    let renewed = wait::for_some("a renewed cookie", || {
        let answer = ask(&proxy, "/", &old);
        assert_eq!((answer.word(), answer.backend()), ("hit", backend.clone()));
        (!answer.set().is_empty()).then_some(answer)
    });
    assert!(renewed.set()[0].contains("; Max-Age=4;"), "{:?}", renewed.set());
    assert!(renewed.0.header("cache-control") == Some("private"));
    wait::until("the old one to expire", || ask(&proxy, "/", &old).word() == "miss");
    let next = ask(&proxy, "/", &cookie(&renewed.kept("srv")));
    assert_eq!((next.word(), next.backend()), ("hit", backend));
}

#[test]
fn a_session_that_goes_on_ends_with_its_lifetime() {
    let sticky = "mode = \"cookie\"\nidle_ms = 2000\nlifetime_ms = 4000";
    let proxy = over(&NAMES.map(Backend::named), sticky);
    let (mut line, _) = session(&proxy, "srv");
    assert!(until(&proxy, "miss", &mut line) > 0, "it was renewed, and ended all the same");
    assert_eq!(ask(&proxy, "/", &line).word(), "hit");
}
