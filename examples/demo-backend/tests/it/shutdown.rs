//! The end.

use std::fs;

use proxy_lab::wait;

use crate::demo::{Demo, Scratch, line};

#[test]
fn it_ends_cleanly_and_answers_the_requests_that_hang() {
    for signal in ["TERM", "INT"] {
        let scratch = Scratch::new();
        let mut demo = Demo::over(&scratch.url(), &[]);
        demo.done("/break/hang");
        let mut hanging = demo.asked("/");
        wait::until("the request to arrive", || demo.get("/served") == line(200, "1"));
        demo.process.signal(signal);
        assert_eq!(hanging.reply().text(), "one: orders: 0\n");
        assert_eq!(demo.process.ended().code(), Some(0));
        demo.process.logged(&["demo-backend: stopped"]);
        assert!(!demo.process.output().iter().any(|line| line.contains("cut")));
        assert_eq!(demo.process.errors(), [""; 0]);
    }
}

#[test]
fn it_gives_the_database_back_at_its_end() {
    let scratch = Scratch::new();
    let mut demo = Demo::over(&scratch.url(), &[]);
    demo.done("/break/db");
    demo.process.signal("TERM");
    assert_eq!(demo.process.ended().code(), Some(0));
    assert!(fs::exists(scratch.path()).unwrap() && !fs::exists(scratch.aside()).unwrap());
}
