//! Connections of this process, on the loopback interface.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::Running;

#[test]
fn a_connection_is_told_with_its_ends_and_its_process() {
    let running = Running::start();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let listening = running.wait_for("network.connection", "local", &address);
    assert_eq!((listening.fields["state"].as_str(), listening.fields.get("direction")), ("listening", None));
    assert!(!listening.fields.contains_key("remote") && !listening.fields.contains_key("bytes_sent"));
    let mut client = TcpStream::connect(&address).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    let own = std::process::id().to_string();
    let key = tracewell::ProcessKey::new(
        &tracewell::boot::boot_id(),
        std::process::id(),
        tracewell::boot::own_start_ticks(),
    );
    let out = running.wait_for("network.connection", "local", &peer.to_string());
    let fields = [
        ("state", "established"),
        ("remote", address.as_str()),
        ("direction", "outbound"),
        ("protocol", "6"),
        ("family", "ipv4"),
        ("pid", own.as_str()),
        ("process_key", &key.to_string()),
    ];
    for (name, value) in fields {
        assert_eq!(out.fields[name], value, "{name}");
    }
    assert_eq!(out.fields["image_path"], std::env::current_exe().unwrap().to_str().unwrap());
    let inbound = running.wait_for("network.connection", "remote", &peer.to_string());
    assert_eq!(inbound.fields["direction"], "inbound");
    assert_eq!(inbound.fields["local"], address);
    drop((client, server));
    let closed = running.until("not closed", |events| {
        let is_it = |e: &&tracewell::testing::CapturedEvent| {
            e.fields.get("connection_id") == out.fields.get("connection_id") && e.fields["state"] == "closed"
        };
        events.iter().find(is_it).cloned()
    });
    assert!(closed.fields.contains_key("ended"));
    if running.uses("ended sockets") {
        assert_eq!(closed.fields["bytes_sent"], "5", "{closed:?}");
        assert!(closed.fields.contains_key("round_trip"));
    }
}

#[test]
fn connections_that_end_at_once_and_refused_ones_are_told() {
    let running = Running::start();
    if !running.uses("ended sockets") {
        eprintln!("without sock_diag short connections are not seen; nothing to test");
        return;
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut locals = Vec::new();
    for _ in 0..20 {
        let client = TcpStream::connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        locals.push(client.local_addr().unwrap().to_string());
        drop((client, server));
    }
    running.until("not all were told", |events| {
        for local in &locals {
            let told = events
                .iter()
                .find(|e| e.name == "network.connection" && e.fields.get("local") == Some(local))?;
            assert_eq!(told.fields["remote"], address.to_string());
        }
        Some(())
    });
    // Nobody listens there any more.
    drop(listener);
    let failed = || running.with("network.connection", "state", "failed").len();
    let before = failed();
    for _ in 0..5 {
        assert!(TcpStream::connect(address).is_err());
    }
    running.until("not all were told", |_| (failed() >= before + 5).then_some(()));
    running.wait_for("error.raised", "operation", "find the process of a connection");
}
