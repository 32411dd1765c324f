//! Real protocols: clients and servers that nobody here wrote, on both sides of the proxy.

mod dns;
mod iperf;
mod postgres;
mod redis;

use proxy_lab::health::Bench;

use crate::{PROXY, SCRATCH};

/// A proxy whose pool's backends are watched.
const BENCH: Bench = Bench { proxy: PROXY, scratch: SCRATCH, listener: "pool = \"web\"\n" };

/// Lines of numbers, each with its own text: about so many bytes, different wherever one looks.
fn numbered(lines: u32) -> String {
    let line = |index: u32| {
        format!("{index}\t{:08x}-of-line-{index}\n", index.wrapping_mul(2_654_435_761))
    };
    (0..lines).map(line).collect()
}

#[test]
fn the_examples_of_the_page_are_good() {
    let page = include_str!("../../../../docs/protocols.md");
    let blocks: Vec<_> = page.split("```toml\n").skip(1).collect();
    assert_eq!(blocks.len(), 1);
    for block in blocks {
        let text = block.split("```").next().unwrap();
        l4_proxy::check(text).unwrap_or_else(|error| panic!("{error}"));
    }
}
