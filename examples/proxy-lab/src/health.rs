//! A proxy over demo backends, watched.

use parking_lot::{Mutex, MutexGuard};

use crate::demo::Demo;
use crate::load::Load;
use crate::process::Proxy;
use crate::table::ConfigFile;
use crate::timeline::Timeline;

/// How many clients there are.
pub const CLIENTS: usize = 4;

/// Which proxy is tested, and where there is room for files.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// The path of the program.
    pub proxy: &'static str,
    /// A directory.
    pub scratch: &'static str,
    /// Further settings of the listener: `pool = "web"`.
    pub listener: &'static str,
}

/// A proxy with an admin listener and a pool `web`, and its time-line. One at a time: what is measured is
/// the proxy, not how the machine shares itself out.
#[derive(Debug)]
pub struct Watched {
    /// Dropped first, for the admin listener goes with the proxy.
    pub timeline: Timeline,
    /// The proxy.
    pub proxy: Proxy,
    _file: ConfigFile,
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    /// Demo backends of these names, each with its database.
    pub fn demos<const N: usize>(&self, names: [&'static str; N]) -> [Demo; N] {
        names.map(|name| Demo::start(self.proxy, self.scratch, name))
    }

    /// One that does not run yet.
    pub fn prepared(&self, name: &'static str) -> Demo {
        Demo::prepared(self.proxy, self.scratch, name)
    }

    /// A proxy over them; `sections` are the rest of its configuration.
    pub fn watch(&self, title: &str, demos: &[Demo], sections: &str) -> Watched {
        let labels: Vec<_> =
            demos.iter().map(|demo| (demo.address.clone(), demo.name.to_owned())).collect();
        let backends: Vec<_> = demos.iter().map(|demo| format!("\"{}\"", demo.address)).collect();
        let pool = format!("backends = [{}]\n", backends.join(", "));
        self.watch_pool(title, labels, &pool, sections)
    }

    /// A proxy over what `pool` says.
    pub fn watch_pool(
        &self,
        title: &str,
        labels: Vec<(String, String)>,
        pool: &str,
        sections: &str,
    ) -> Watched {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock();
        let config = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n{}\n[admin]\naddress = \"127.0.0.1:0\"\n\
             {sections}\n[pools.web]\npolicy = \"round_robin\"\n{pool}",
            self.listener
        );
        let file = ConfigFile::new(self.scratch, "health", &config);
        let proxy = Proxy::start(self.proxy, 1, ["--config", file.path()]);
        let timeline = Timeline::start(title, &proxy, labels);
        Watched { timeline, proxy, _file: file, _alone: alone }
    }
}

impl Watched {
    /// Clients that GET `/` through the proxy.
    pub fn load(&self) -> Load {
        Load::gets(self.proxy.address(), CLIENTS)
    }
}
