//! An observer of traffic that is not our client: what tcpdump saw on the wire, and what NGINX wrote
//! into its second access log.
//!
//! [`Capture`] runs tcpdump while clients are at work. [`conversations`] makes of its file what each
//! connection carried, by the client's port; [`answer`] reads the HTTP answer out of those bytes.
//! None of it shares code with `infer-traffic`: it is there to contradict it.

pub mod answer;
pub mod capture;
pub mod pcap;

pub use answer::{Answer, Body};
pub use capture::Capture;
pub use pcap::{Close, Conversation, conversations};
