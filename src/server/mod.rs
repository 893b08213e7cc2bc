//! Workers, listeners and connections.
//!
//! A thread a core, each with a current-thread runtime and its own listening sockets. A
//! connection stays on the worker that accepted it; its requests use that worker's
//! upstream pools and lane. Before HTTP a connection passes its entrance: the PROXY protocol
//! and TLS, where they are spoken. What hyper refuses before the stack sees it is put on record
//! here.

mod acme;
mod address;
mod arrival;
mod client_io;
mod connection;
mod entrance;
mod frames;
mod inbound;
mod listen;
mod options;
mod progress;
mod proxy_protocol;
mod refusing;
mod site;
mod socket;
mod stall;
mod streams;
mod tls;
mod tunnel;
mod worker;

pub use acme::{Acme, AcmeError, AcmeOptions, AcmeStanding};
pub use address::{ListenAddress, UNIX_PEERS};
pub use entrance::{Entrance, EntranceStats, ListenerOptions};
pub use listen::{ListenError, Place, SocketFiles, Sockets, shared};
pub use options::Options;
pub use site::SiteOptions;
pub use socket::Bound;
pub use tls::{
    AcmeKeys, ActorPart, CertificateFiles, ClientAuth, Shown, Tls, TlsError, TlsOptions, TlsStanding,
    TlsVersion,
};
pub use worker::{Seed, Stage, run};
