//! Unix sockets, and their files.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use equipoise_tokio::socket::UnixPath;
use socket2::{Domain, SockAddr, Socket, Type};

use super::BACKLOG;

/// The file of a socket that listens; removed when this is dropped, unless it is another one's by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: UnixPath,
    /// The device and the number there.
    inode: (u64, u64),
}

/// Listens here. A file that is left from a socket that nobody listens on any more is removed first.
///
/// # Errors
/// What the system says; somebody listens there; there is something else.
pub(super) fn listen(path: &UnixPath) -> io::Result<(Socket, SocketFile)> {
    remove_stale(path)?;
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    let file = SocketFile { path: path.clone(), inode: inode(path)? };
    socket.listen(BACKLOG)?;
    Ok((socket, file))
}

fn remove_stale(path: &UnixPath) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::other("there is a file that is no socket"));
        }
        Ok(_) => {}
    }
    // Without waiting for a place in a queue that is full: then somebody listens.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(()) => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there, and is busy"))
        }
        Err(error) => Err(error),
    }
}

fn inode(path: &UnixPath) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

impl SocketFile {
    /// The file stays.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|now| now == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::path::{Path, PathBuf};

    /// A path for a socket, and its directory, which goes with it.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> (Self, UnixPath) {
            let name = format!("proxy-kit-{}-{name}", std::process::id());
            let directory = Self(std::env::temp_dir().join(name));
            fs::create_dir_all(&directory.0).unwrap();
            let path = UnixPath::new(directory.0.join("a.sock")).unwrap();
            (directory, path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn refused(path: &UnixPath) -> String {
        listen(path).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_nobody_listens_on_is_replaced_and_no_other() {
        let (_directory, path) = Directory::new("stale");
        let at: &Path = path.as_ref();
        drop(UnixListener::bind(at).unwrap());
        assert!(at.exists(), "it is left");
        let (socket, file) = listen(&path).unwrap();
        assert_eq!(refused(&path), "somebody listens there");
        drop((socket, file));
        assert!(!at.exists(), "it goes with its socket");
        fs::write(at, "text").unwrap();
        assert_eq!(refused(&path), "there is a file that is no socket");
        assert_eq!(fs::read(at).unwrap(), b"text");
    }

    #[test]
    fn a_file_of_somebody_else_stays() {
        let (_directory, path) = Directory::new("other");
        let at: &Path = path.as_ref();
        let (_socket, file) = listen(&path).unwrap();
        fs::remove_file(at).unwrap();
        // Another number, for sure: the socket has the first one.
        let _other = UnixListener::bind(at).unwrap();
        drop(file);
        assert!(at.exists());
    }

    #[test]
    fn a_file_is_kept_for_a_successor() {
        let (_directory, path) = Directory::new("kept");
        let (_socket, file) = listen(&path).unwrap();
        file.keep();
        assert!(AsRef::<Path>::as_ref(&path).exists());
    }
}
