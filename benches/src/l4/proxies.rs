//! The proxies, how each is configured and started, and whether it is here.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A proxy as it is started: `@NAME@` in its files and arguments stands for a port, a directory, a number.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What the tables call it.
    pub name: String,
    /// Its program.
    pub program: PathBuf,
    /// What the program says of its version.
    pub version: String,
    /// Its arguments.
    pub args: &'static str,
    /// Names and texts.
    pub files: Vec<(&'static str, String)>,
    /// Whether it takes datagrams.
    pub has_udp: bool,
}

/// What is known of a proxy before it is looked for.
struct Known {
    name: &'static str,
    program: &'static str,
    /// The argument that makes it say its version.
    version: &'static str,
    args: &'static str,
    files: &'static [(&'static str, &'static str)],
}

/// Ours.
pub const OURS: &str = "l4-proxy";
const PLAIN: &str = "tokio loop";
/// The variant of HAProxy that splices.
const SPLICING: &str = "haproxy-splice";

const HAPROXY: Known = Known {
    name: "haproxy",
    program: "haproxy",
    version: "-v",
    args: "-W -f @dir@/haproxy.cfg",
    files: &[("haproxy.cfg", include_str!("../../l4/haproxy.cfg"))],
};

const KNOWN: [Known; 8] = [
    Known {
        name: OURS,
        program: OURS,
        version: "--version",
        args: "--config @dir@/l4-proxy.toml",
        files: &[("l4-proxy.toml", include_str!("../../l4/l4-proxy.toml"))],
    },
    Known {
        name: PLAIN,
        program: "",
        version: "",
        args: "plain @tcp@ @udp@ @b1@ @b2@ @b3@",
        files: &[],
    },
    Known {
        name: "nginx",
        program: "nginx",
        version: "-v",
        args: "-p @dir@ -e stderr -c @dir@/nginx.conf",
        files: &[("nginx.conf", include_str!("../../l4/nginx.conf"))],
    },
    HAPROXY,
    Known { name: SPLICING, ..HAPROXY },
    Known {
        name: "envoy",
        program: "envoy",
        version: "--version",
        args: "-c @dir@/envoy.yaml --concurrency 1 -l off --disable-hot-restart",
        files: &[("envoy.yaml", include_str!("../../l4/envoy.yaml"))],
    },
    Known {
        name: "traefik",
        program: "traefik",
        version: "version",
        args: "--configFile=@dir@/traefik.yml",
        files: &[
            ("traefik.yml", include_str!("../../l4/traefik.yml")),
            ("traefik-routes.yml", include_str!("../../l4/traefik-routes.yml")),
        ],
    },
    Known {
        name: "sozu",
        program: "sozu",
        version: "--version",
        args: "-c @dir@/sozu.toml start",
        files: &[("sozu.toml", include_str!("../../l4/sozu.toml"))],
    },
];

/// What they are called.
pub fn names() -> Vec<&'static str> {
    KNOWN.iter().map(|known| known.name).collect()
}

/// Those of the names that are here, and the names of the others. `given` are programs by name.
pub fn find(names: &[String], given: &[(String, PathBuf)]) -> (Vec<Candidate>, Vec<&'static str>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for known in KNOWN.iter().filter(|known| names.iter().any(|name| name == known.name)) {
        match program(known, given) {
            Some(program) => found.push(candidate(known, program)),
            None => missing.push(known.name),
        }
    }
    (found, missing)
}

fn program(known: &Known, given: &[(String, PathBuf)]) -> Option<PathBuf> {
    let is_it = |(name, _): &&(String, PathBuf)| name == known.program;
    if let Some((_, path)) = given.iter().find(is_it) {
        return path.is_file().then(|| path.clone());
    }
    match known.name {
        PLAIN => env::current_exe().ok(),
        OURS => Some(PathBuf::from("target/release/l4-proxy")).filter(|path| path.is_file()),
        _ => {
            // Debian has servers where not every user's PATH looks.
            let path = env::var_os("PATH").unwrap_or_default();
            let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
            let mut places = env::split_paths(&path).chain(more);
            places.find_map(|place| Some(place.join(known.program)).filter(|path| path.is_file()))
        }
    }
}

fn candidate(known: &Known, program: PathBuf) -> Candidate {
    let text = |&(name, text): &(&'static str, &str)| {
        let splice = if known.name == SPLICING { "option splice-auto" } else { "" };
        (name, text.replace("@splice@", splice).replace("@module@", &stream_module()))
    };
    Candidate {
        name: known.name.to_owned(),
        version: if known.version.is_empty() {
            String::new()
        } else {
            version(&program, known.version)
        },
        program,
        args: known.args,
        files: known.files.iter().map(text).collect(),
        has_udp: known.program != HAPROXY.program,
    }
}

/// The first line with a digit that the program says.
fn version(program: &Path, argument: &str) -> String {
    let said = Command::new(program).arg(argument).stdin(Stdio::null()).output();
    let said = said.map(|said| [said.stdout, said.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()));
    // Without where it is, and without columns.
    let line = line.unwrap_or("version unknown").replace(&program.display().to_string(), "");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// nginx's stream module is a file of its own in most distributions.
fn stream_module() -> String {
    let places = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"];
    let files = places.map(|place| format!("{place}/ngx_stream_module.so"));
    let file = files.into_iter().find(|file| Path::new(file).is_file());
    file.map_or(String::new(), |file| format!("load_module {file};"))
}
