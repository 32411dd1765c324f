//! How a session is told from what a client sends, and what the client is sent.

pub mod cache_guard;
pub mod cookie;
pub mod route;
pub mod set_cookie;
pub mod token;
