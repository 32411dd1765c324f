//! A small application over a real database, to put behind a load balancer.

use std::process::ExitCode;

fn main() -> ExitCode {
    demo_backend::main()
}
