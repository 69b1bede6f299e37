use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use quorate_wire::{
    ClusterId, Code, ControlOperation, ControlReply, Frame, HEADER_BYTES, Header, Kind, Request,
    Response,
};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks one question on a connection of its own.
pub(crate) fn ask(
    address: SocketAddr,
    cluster: ClusterId,
    request: &Request,
) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = quorate_wire::encode(request);
    stream.write_all(&Frame::head(Kind::Request, cluster, 7, &body, 0))?;
    read_response(&mut stream)
}

/// Reads one answer.
pub(crate) fn read_response(stream: &mut TcpStream) -> std::io::Result<Response> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header)?;
    let header = Header::decode(&header).unwrap();
    assert_eq!(header.correlation, 7);
    let mut body = vec![0; header.body_len as usize];
    stream.read_exact(&mut body)?;
    Ok(quorate_wire::decode(&body).unwrap())
}

/// A session that finds the primary by itself, as the client library does.
pub(crate) struct Session {
    cluster: ClusterId,
    addresses: Vec<SocketAddr>,
    client: u128,
    session: u64,
    request_number: u64,
}

impl Session {
    pub(crate) fn register(cluster: ClusterId, addresses: &[SocketAddr], client: u128) -> Self {
        let addresses = addresses.to_vec();
        let mut session = Self {
            cluster,
            addresses,
            client,
            session: 0,
            request_number: 0,
        };
        let Response::Registered { session: number } =
            session.ask_primary(&Request::Register { client })
        else {
            panic!("a registration is answered by a session");
        };
        session.session = number;
        session
    }

    pub(crate) fn control(&mut self, operation: ControlOperation) -> ControlReply {
        self.request_number += 1;
        self.repeat(operation)
    }

    /// Asks again with the number of the last request.
    pub(crate) fn repeat(&mut self, operation: ControlOperation) -> ControlReply {
        let request = Request::Control {
            client: self.client,
            session: self.session,
            request_number: self.request_number,
            operation,
        };
        match self.ask_primary(&request) {
            Response::Control(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// Asks wherever it has to, until somebody answers.
    pub(crate) fn ask_primary(&mut self, request: &Request) -> Response {
        let deadline = Instant::now() + PATIENCE;
        let mut address = self.addresses[0];
        while Instant::now() < deadline {
            let next = self
                .addresses
                .iter()
                .position(|other| *other == address)
                .unwrap_or(0)
                + 1;
            let next = self.addresses[next % self.addresses.len()];
            match ask(address, self.cluster, request) {
                Ok(Response::Refused(refusal)) if refusal.code == Code::NotPrimary => {
                    let instead = refusal.instead.map(|instead| instead.parse().unwrap());
                    address = instead.unwrap_or(next);
                }
                Ok(Response::Refused(refusal)) if refusal.code == Code::Unavailable => {}
                Ok(response) => return response,
                Err(_) => address = next,
            }
            std::thread::yield_now();
        }
        panic!("no primary answered {request:?}");
    }
}

/// Registers `clients` one after the other, with several requests under way, so that the group's
/// journal grows by one operation for each.
pub(crate) fn register_many(address: SocketAddr, cluster: ClusterId, clients: Range<u128>) {
    const UNDER_WAY: usize = 32;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let clients: Vec<_> = clients.collect();
    for chunk in clients.chunks(UNDER_WAY) {
        for client in chunk {
            let body = quorate_wire::encode(&Request::Register { client: *client });
            let frame = Frame::head(Kind::Request, cluster, 7, &body, 0);
            stream.write_all(&frame).unwrap();
        }
        for _ in chunk {
            let response = read_response(&mut stream).unwrap();
            assert!(
                matches!(response, Response::Registered { .. }),
                "{response:?}"
            );
        }
    }
}
