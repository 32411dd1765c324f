//! How a session is told from what a client sends, and what the client is sent.

pub mod token;
