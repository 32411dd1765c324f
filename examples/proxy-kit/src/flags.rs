//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use equipoise_algorithms::PolicyConfig;
use equipoise_hash::key::KeySpec;

use crate::StartError;
use crate::backend::BackendSpec;
use crate::sticky::StickyFlag;

/// The flags that both proxies have.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// Listen here; repeat it for several addresses. Port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", value_parser = parse_listen)]
    pub listen: Vec<SocketAddr>,

    /// A backend, in its short form.
    #[arg(
        long,
        value_name = "BACKEND",
        help = "A backend, as HOST:PORT or unix:/PATH, [,weight=N][,backup][,max=N][,check=PORT]; repeat it for \
                several"
    )]
    pub backend: Vec<BackendSpec>,

    /// How to choose.
    #[arg(
        long,
        value_name = "NAME",
        help = "How to choose: round_robin (the default), random, least_conn, p2c, peak_ewma; or by --key: \
                rendezvous_table, maglev, ring, rendezvous, multi_probe, anchor, memento, jump; or by \
                --key as other proxies do: nginx_consistent, nginx_hash, nginx_ip_hash, haproxy_consistent, \
                envoy_ring_hash, envoy_maglev"
    )]
    pub policy: Option<PolicyConfig>,

    /// What a policy picks by that picks by a key: client, connection, ...
    #[arg(
        long,
        value_name = "KEY",
        help = "What to pick by, with a policy that picks by a key: client, connection, or several with \
                commas between them; a proxy of TCP knows sni, too, and one of HTTP header=NAME, cookie=NAME, \
                query=NAME, path=DEPTH"
    )]
    pub key: Option<KeySpec>,

    /// How a session's requests are kept together.
    #[arg(
        long,
        value_name = "MODE",
        help = "Keep a session's requests on one backend, told by client; or, by a proxy that reads HTTP, by \
                cookie[=NAME], learn=COOKIE, header=NAME, prefix=COOKIE"
    )]
    pub sticky: Option<StickyFlag>,

    /// Listen here for operators: GET /backends shows the health of the backends, and POST changes it.
    /// A loopback address
    #[arg(long, value_name = "IP:PORT", value_parser = parse_listen)]
    pub admin: Option<SocketAddr>,

    /// Read the configuration from a TOML file, instead of the flags above
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["listen", "backend", "policy", "key", "sticky", "admin"]
    )]
    pub config: Option<PathBuf>,

    /// Check the configuration, say so, and exit
    #[arg(long)]
    pub check: bool,
}

/// Parses the command line. `Err` has the exit code, and all has been said.
///
/// # Errors
/// Code 2 for a wrong command line, after one line on the standard error; code 0 for `--help` and
/// `--version`.
pub fn parse<P: Parser>(program: &str) -> Result<P, ExitCode> {
    P::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ => {
            let text = error.to_string();
            // The usage and the tips follow an empty line.
            let what = text.split("\n\n").next().unwrap_or(&text);
            let what = what.strip_prefix("error: ").unwrap_or(what);
            eprintln!("{program}: {}", StartError::plain(what));
            ExitCode::from(2)
        }
    })
}

/// An address to listen on. A name would be a question of which of its addresses; so it is refused.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is not an IP address and port, such as 127.0.0.1:8080 or [::1]:8080")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn the_admin_address_is_a_flag_or_in_the_file() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["proxy"], args].concat());
        let cli = parse(&["--admin", "127.0.0.1:9000"]).unwrap();
        assert_eq!(cli.flags.admin, "127.0.0.1:9000".parse().ok());
        let error = parse(&["--admin", "localhost:9000"]).unwrap_err().to_string();
        assert!(error.contains("`localhost:9000` is not an IP address"), "{error}");
        let error = parse(&["--admin", "127.0.0.1:9000", "--config", "a"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
    }
}
