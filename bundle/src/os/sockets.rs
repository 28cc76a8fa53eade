//! Open ports and established connections, each with its process, at the moment of looking; routes and neighbours.

use std::collections::HashMap;
use std::net::SocketAddr;

use procfs::net::{ArpEntries, RouteEntries, TcpNetEntries, UdpNetEntries, UnixNetEntries};
use procfs::{ExplicitSystemInfo, FromRead, FromReadSI};
use serde_json::{Value, json};

use super::context::Context;
use super::hardware::table;
use super::kernel::pids;
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "sockets",
    title: "Open ports and connections",
    sections: &[("sockets", sockets), ("routes", routes), ("neighbours", neighbours), ("firewall", firewall)],
    personal: &[
        field("/data/sockets/internet/*/user", "user"),
        field("/data/sockets/internet/*/uid", "user-id"),
        field("/data/sockets/internet/*/program", "path"),
        field("/data/sockets/local/*/path", "path"),
        field("/data/sockets/local/*/program", "path"),
        field("/data/neighbours/*/mac", "device"),
    ],
    holds: &[Personal::Address, Personal::UserName, Personal::Program, Personal::Path, Personal::Device],
};

/// Who has a socket.
#[derive(Clone, Debug)]
struct Holder {
    pid: u32,
    process: Option<String>,
    program: Option<String>,
}

/// The processes by the sockets that they hold.
fn holders(context: &Context) -> HashMap<u64, Holder> {
    let mut all = HashMap::new();
    let mut refused = 0_u64;
    for pid in context.in_time("processes", pids(context)) {
        let folder = format!("/proc/{pid}/fd");
        let fds = match context.root().list(&folder) {
            Ok((fds, _)) => fds,
            Err(e) => {
                refused += u64::from(e.kind() == std::io::ErrorKind::PermissionDenied);
                continue;
            }
        };
        let mut holder: Option<Holder> = None;
        for fd in fds {
            let Ok(target) = context.root().link(&format!("{folder}/{}", fd.name)) else { continue };
            let inode = target.strip_prefix("socket:[").and_then(|t| t.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode {
                let holder = holder.get_or_insert_with(|| Holder {
                    pid,
                    process: context.value(&format!("/proc/{pid}/comm")),
                    program: context.root().link(&format!("/proc/{pid}/exe")).ok(),
                });
                all.entry(inode).or_insert_with(|| holder.clone());
            }
        }
    }
    if refused != 0 {
        context.refused("/proc/*/fd", &format!("which sockets {refused} processes have"));
    }
    all
}

fn sockets(context: &Context) -> Value {
    let root = context.root();
    let info = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 100,
        page_size: 4096,
        is_little_endian: cfg!(target_endian = "little"),
    };
    let holders = holders(context);
    let mut internet = Vec::new();
    let mut is_any = false;
    let mut add = |protocol: &str,
                   local: SocketAddr,
                   remote: SocketAddr,
                   state: String,
                   queues: (u32, u32),
                   uid,
                   inode| {
        let holder: Option<&Holder> = holders.get(&inode);
        let is_open = !remote.ip().is_unspecified() || remote.port() != 0;
        internet.push(json!({
            "protocol": protocol,
            "local_ip": local.ip().to_string(),
            "local_port": local.port(),
            "remote_ip": is_open.then(|| remote.ip().to_string()),
            "remote_port": is_open.then_some(remote.port()),
            "state": state,
            "receive_queue": queues.0,
            "send_queue": queues.1,
            "uid": uid,
            "user": context.user(uid),
            "inode": inode,
            "pid": holder.map(|h| h.pid),
            "process": holder.and_then(|h| h.process.clone()),
            "program": holder.and_then(|h| h.program.clone()),
        }));
    };
    for protocol in ["tcp", "tcp6"] {
        let path = format!("/proc/net/{protocol}");
        let Some(all) = table(context, root, &path, |b| TcpNetEntries::from_read(b, &info)) else { continue };
        is_any = true;
        for e in all.0 {
            let state = format!("{:?}", e.state).to_lowercase();
            add(protocol, e.local_address, e.remote_address, state, (e.rx_queue, e.tx_queue), e.uid, e.inode);
        }
    }
    for protocol in ["udp", "udp6"] {
        let path = format!("/proc/net/{protocol}");
        let Some(all) = table(context, root, &path, |b| UdpNetEntries::from_read(b, &info)) else { continue };
        is_any = true;
        for e in all.0 {
            let state = if e.remote_address.port() == 0 { "open" } else { "connected" }.to_owned();
            add(protocol, e.local_address, e.remote_address, state, (e.rx_queue, e.tx_queue), e.uid, e.inode);
        }
    }
    if !is_any {
        context.problem("/proc/net/tcp", "not found");
    }
    let (mut local, mut unnamed) = (Vec::new(), 0_u64);
    if let Some(all) = table(context, root, "/proc/net/unix", |b| UnixNetEntries::from_read(b)) {
        for e in all.0 {
            let Some(path) = e.path else {
                unnamed += 1;
                continue;
            };
            let holder = holders.get(&e.inode);
            local.push(json!({
                "path": path.to_string_lossy(),
                "state": format!("{:?}", e.state).to_lowercase(),
                "inode": e.inode,
                "pid": holder.map(|h| h.pid),
                "process": holder.and_then(|h| h.process.clone()),
                "program": holder.and_then(|h| h.program.clone()),
            }));
        }
    }
    let lines = |path: &str| context.text(path).map(|text| text.lines().count().saturating_sub(1));
    json!({
        "internet": internet,
        "local": local,
        "local_unnamed": unnamed,
        "raw": lines("/proc/net/raw"),
        "raw6": lines("/proc/net/raw6"),
        "icmp": lines("/proc/net/icmp"),
        "packet": lines("/proc/net/packet"),
    })
}

fn routes(context: &Context) -> Value {
    let Some(routes) = table(context, context.root(), "/proc/net/route", |b| RouteEntries::from_read(b))
    else {
        context.problem("/proc/net/route", "not found, or empty");
        return Value::Null;
    };
    let all = routes.0.into_iter().map(|r| {
        json!({
            "interface": r.iface,
            "to": r.destination.to_string(),
            "mask": r.mask.to_string(),
            "by": r.gateway.to_string(),
            "metric": r.metrics,
        })
    });
    let second = context.text("/proc/net/ipv6_route").map(|text| text.lines().count());
    json!({"ipv4": all.collect::<Vec<_>>(), "ipv6_count": second})
}

fn neighbours(context: &Context) -> Value {
    let Some(all) = table(context, context.root(), "/proc/net/arp", |b| ArpEntries::from_read(b)) else {
        return Value::Null;
    };
    let all = all.0.into_iter().map(|e| {
        let mac = e.hw_address.map(|mac| mac.map(|b| format!("{b:02x}")).join(":"));
        json!({"ip": e.ip_address.to_string(), "mac": mac, "interface": e.device})
    });
    Value::Array(all.collect())
}

/// What filters packets, as far as it shows without asking the kernel for the rules.
fn firewall(context: &Context) -> Value {
    let tables = |path: &str| context.text(path).map(|t| t.lines().map(str::to_owned).collect::<Vec<_>>());
    let loaded = |name: &str| context.root().has(&format!("/sys/module/{name}"));
    json!({
        "nf_tables": loaded("nf_tables"),
        "iptables_tables": tables("/proc/net/ip_tables_names"),
        "ip6tables_tables": tables("/proc/net/ip6_tables_names"),
        "nftables_settings": context.root().has("/etc/nftables.conf"),
        "ufw_enabled": context.text("/etc/ufw/ufw.conf").map(|t| t.lines().any(|l| l.trim() == "ENABLED=yes")),
        "firewalld": context.root().has("/etc/firewalld/firewalld.conf"),
        "wireguard": loaded("wireguard"),
        "tunnels": context.list("/sys/class/net").into_iter().map(|e| e.name)
            .filter(|n| ["tun", "tap", "wg", "ppp", "vpn"].iter().any(|p| n.starts_with(p))).collect::<Vec<_>>(),
        "connections_tracked": context.number("/proc/sys/net/netfilter/nf_conntrack_count"),
        "connections_tracked_max": context.number("/proc/sys/net/netfilter/nf_conntrack_max"),
    })
}
