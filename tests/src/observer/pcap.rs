//! Reads a capture file (the classic pcap format, Ethernet, IPv4, TCP: IETF draft-ietf-opsawg-pcap,
//! RFC 791, RFC 9293) into one conversation per client port.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// How the server's side of a connection ended, as the client's kernel saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The server sent FIN.
    Fin,
    /// The server sent RST.
    Reset,
    /// The client went first: FIN or RST of its own before anything of that kind from the server.
    Client,
    /// Neither, as long as was watched.
    Open,
}

/// What one connection carried.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The client's address and port.
    pub client: SocketAddrV4,
    /// When its first packet was seen, since the Unix epoch.
    pub began: Duration,
    /// When the server's last byte was seen.
    pub last_byte: Option<Duration>,
    /// When the server's first byte was seen.
    pub first_byte: Option<Duration>,
    /// When the client's last byte was seen.
    pub last_sent: Option<Duration>,
    /// What the client sent, in order.
    pub sent: Vec<u8>,
    /// What the server sent, in order.
    pub received: Vec<u8>,
    /// Bytes of the server that the capture misses: it is then no witness.
    pub missing: bool,
    /// The server answered the SYN with RST.
    pub refused: bool,
    /// How the server's side ended.
    pub close: Close,
}

/// One side's bytes, by sequence number relative to its SYN.
#[derive(Default)]
struct Side {
    start: Option<u32>,
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl Side {
    fn add(&mut self, sequence: u32, payload: &[u8]) {
        let (Some(start), false) = (self.start, payload.is_empty()) else {
            return;
        };
        let at = u64::from(sequence.wrapping_sub(start).wrapping_sub(1));
        let known = self.pieces.entry(at).or_default();
        if known.len() < payload.len() {
            *known = payload.to_vec();
        }
    }

    /// The bytes in order, and whether there is a hole.
    fn join(self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        for (at, piece) in self.pieces {
            let have = bytes.len() as u64;
            if at > have {
                return (bytes, true);
            }
            // A retransmission may overlap what is there.
            let skip = usize::try_from(have - at).unwrap_or(usize::MAX);
            if let Some(rest) = piece.get(skip..) {
                bytes.extend_from_slice(rest);
            }
        }
        (bytes, false)
    }
}

struct Building {
    conversation: Conversation,
    client: Side,
    server: Side,
}

struct Segment<'a> {
    at: Duration,
    from: SocketAddrV4,
    to: SocketAddrV4,
    sequence: u32,
    syn: bool,
    fin: bool,
    reset: bool,
    payload: &'a [u8],
}

/// The conversations with the server at this address, in the order in which they began. A port that
/// is used again begins a new one.
///
/// # Panics
///
/// When the file is no capture of the expected kind: a test that cannot read its witness fails.
#[must_use]
pub fn conversations(file: &[u8], server: SocketAddrV4) -> Vec<Conversation> {
    let mut done: Vec<Building> = Vec::new();
    let mut current: BTreeMap<SocketAddrV4, usize> = BTreeMap::new();
    for segment in segments(file) {
        let from_server = segment.from == server;
        if !from_server && segment.to != server {
            continue;
        }
        let client = if from_server {
            segment.to
        } else {
            segment.from
        };
        if segment.syn && !from_server {
            let again = current.get(&client).is_some_and(|index| {
                // The same SYN sent once more is the same connection.
                done[*index].client.start == Some(segment.sequence)
            });
            if !again {
                current.insert(client, done.len());
                done.push(Building {
                    conversation: Conversation {
                        client,
                        began: segment.at,
                        first_byte: None,
                        last_byte: None,
                        last_sent: None,
                        sent: Vec::new(),
                        received: Vec::new(),
                        missing: false,
                        refused: false,
                        close: Close::Open,
                    },
                    client: Side {
                        start: Some(segment.sequence),
                        ..Side::default()
                    },
                    server: Side::default(),
                });
            }
            continue;
        }
        // One that began before the capture did is nobody's business here.
        if let Some(index) = current.get(&client) {
            done[*index].take(&segment, from_server);
        }
    }
    done.into_iter()
        .map(|building| {
            let mut conversation = building.conversation;
            (conversation.sent, _) = building.client.join();
            (conversation.received, conversation.missing) = building.server.join();
            conversation
        })
        .collect()
}

impl Building {
    fn take(&mut self, segment: &Segment<'_>, from_server: bool) {
        let seen = &mut self.conversation;
        if !from_server {
            if !segment.payload.is_empty() {
                self.client.add(segment.sequence, segment.payload);
                seen.last_sent = Some(segment.at);
            }
            if (segment.fin || segment.reset) && seen.close == Close::Open {
                seen.close = Close::Client;
            }
            return;
        }
        if segment.syn {
            self.server.start = Some(segment.sequence);
        }
        if segment.reset && self.server.start.is_none() {
            seen.refused = true;
        }
        if !segment.payload.is_empty() {
            self.server.add(segment.sequence, segment.payload);
            seen.first_byte.get_or_insert(segment.at);
            seen.last_byte = Some(segment.at);
        }
        if seen.close == Close::Open {
            if segment.reset {
                seen.close = Close::Reset;
            } else if segment.fin {
                seen.close = Close::Fin;
            }
        }
    }
}

/// The TCP segments of a capture file.
fn segments(file: &[u8]) -> Vec<Segment<'_>> {
    let word = |at: usize| -> u32 {
        let bytes = file.get(at..at + 4).expect("a capture file has a header");
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    };
    let nanoseconds = match word(0) {
        0xa1b2_c3d4 => false,
        0xa1b2_3c4d => true,
        other => panic!("not a capture file of this machine's byte order: {other:#x}"),
    };
    assert_eq!(word(20) & 0xffff, 1, "the capture's link type is Ethernet");
    let mut found = Vec::new();
    let mut at = 24;
    while at + 16 <= file.len() {
        let (seconds, fraction) = (word(at), word(at + 4));
        let (kept, whole) = (word(at + 8) as usize, word(at + 12) as usize);
        let Some(packet) = file.get(at + 16..at + 16 + kept) else {
            // tcpdump was ended in the middle of a packet.
            break;
        };
        assert_eq!(kept, whole, "packets are captured whole");
        let fraction = u64::from(fraction) * if nanoseconds { 1 } else { 1000 };
        let time = Duration::from_secs(seconds.into()) + Duration::from_nanos(fraction);
        if let Some(segment) = segment(time, packet) {
            found.push(segment);
        }
        at += 16 + kept;
    }
    // Packets that several CPUs handled are not always written in their order.
    found.sort_by_key(|segment| segment.at);
    found
}

fn segment(at: Duration, packet: &[u8]) -> Option<Segment<'_>> {
    let ip = packet.get(14..)?;
    if packet.get(12..14)? != [8, 0] || ip.first()? >> 4 != 4 || *ip.get(9)? != 6 {
        return None;
    }
    let header = usize::from(ip[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes(ip.get(2..4)?.try_into().ok()?));
    let address = |at: usize| -> Option<Ipv4Addr> {
        let octets: [u8; 4] = ip.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    let tcp = ip.get(header..total)?;
    let port = |at: usize| -> Option<u16> {
        Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?))
    };
    let offset = usize::from(tcp.get(12)? >> 4) * 4;
    let flags = tcp.get(13)?;
    Some(Segment {
        at,
        from: SocketAddrV4::new(address(12)?, port(0)?),
        to: SocketAddrV4::new(address(16)?, port(2)?),
        sequence: u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?),
        fin: flags & 1 != 0,
        syn: flags & 2 != 0,
        reset: flags & 4 != 0,
        payload: tcp.get(offset..)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 244, 0, 2), 8080);
    const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 244, 0, 1), 40000);

    struct File(Vec<u8>, u32);

    impl File {
        fn new() -> Self {
            let mut header = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
            header.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            header.extend(65535_u32.to_le_bytes());
            header.extend(1_u32.to_le_bytes());
            Self(header, 0)
        }

        fn tcp(
            mut self,
            from: SocketAddrV4,
            to: SocketAddrV4,
            sequence: u32,
            flags: u8,
            payload: &[u8],
        ) -> Self {
            let mut tcp = from.port().to_be_bytes().to_vec();
            tcp.extend(to.port().to_be_bytes());
            tcp.extend(sequence.to_be_bytes());
            tcp.extend([0; 4]);
            tcp.extend([5 << 4, flags]);
            tcp.extend([0; 6]);
            tcp.extend(payload);
            let mut packet = vec![0; 12];
            packet.extend([8, 0, 0x45, 0]);
            packet.extend(u16::try_from(20 + tcp.len()).unwrap().to_be_bytes());
            packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
            packet.extend(from.ip().octets());
            packet.extend(to.ip().octets());
            packet.extend(tcp);
            self.1 += 1;
            self.0.extend(1000_u32.to_le_bytes());
            self.0.extend(self.1.to_le_bytes());
            let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
            self.0.extend(length);
            self.0.extend(length);
            self.0.extend(packet);
            self
        }
    }

    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;

    fn opened() -> File {
        File::new()
            .tcp(CLIENT, SERVER, 100, SYN, b"")
            .tcp(SERVER, CLIENT, u32::MAX, SYN | ACK, b"")
            .tcp(CLIENT, SERVER, 101, ACK, b"GET")
    }

    #[test]
    fn bytes_are_in_order_whatever_the_order_and_however_often_they_were_sent() {
        // The server's sequence numbers wrap around.
        let file = opened()
            .tcp(SERVER, CLIENT, 3, ACK, b"def")
            .tcp(SERVER, CLIENT, 0, ACK, b"abc")
            .tcp(SERVER, CLIENT, 0, ACK, b"abcdef")
            .tcp(SERVER, CLIENT, 6, FIN | ACK, b"");
        let seen = conversations(&file.0, SERVER);
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].sent, b"GET");
        assert_eq!(seen[0].received, b"abcdef");
        assert_eq!((seen[0].close, seen[0].missing), (Close::Fin, false));
    }

    #[test]
    fn a_hole_a_reset_and_a_client_that_leaves_are_told() {
        let hole = opened().tcp(SERVER, CLIENT, 5, ACK, b"late");
        assert!(conversations(&hole.0, SERVER)[0].missing);
        let reset = opened().tcp(SERVER, CLIENT, 0, RST, b"");
        assert_eq!(conversations(&reset.0, SERVER)[0].close, Close::Reset);
        let left = opened().tcp(CLIENT, SERVER, 104, FIN | ACK, b"").tcp(
            SERVER,
            CLIENT,
            0,
            FIN | ACK,
            b"",
        );
        assert_eq!(conversations(&left.0, SERVER)[0].close, Close::Client);
        let refused =
            File::new()
                .tcp(CLIENT, SERVER, 100, SYN, b"")
                .tcp(SERVER, CLIENT, 0, RST | ACK, b"");
        assert!(conversations(&refused.0, SERVER)[0].refused);
    }

    #[test]
    fn a_port_that_is_used_again_is_another_conversation() {
        let file = opened()
            .tcp(SERVER, CLIENT, 0, FIN | ACK, b"")
            .tcp(CLIENT, SERVER, 900, SYN, b"")
            .tcp(CLIENT, SERVER, 900, SYN, b"");
        let seen = conversations(&file.0, SERVER);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1].close, Close::Open);
    }
}
