//! Sessions of UDP clients, over real sockets.

#[cfg(target_os = "linux")]
mod addresses;
mod sessions;
mod support;
#[cfg(target_os = "linux")]
mod trains;
