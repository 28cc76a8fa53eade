//! Services over a real bus, with something on it that answers as systemd does; queues from something that answers as
//! CUPS does.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use zbus::OwnedObjectPath;

use super::tests::{Laid, find, values};
use super::*;

/// A bus of its own, which ends with the test.
struct BusDaemon(Child);

impl Drop for BusDaemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bus(laid: &Laid) -> BusDaemon {
    let socket = laid.at("run/dbus/system_bus_socket");
    laid.file("run/dbus/none", "");
    laid.file(
        "bus.conf",
        format!(
            "<busconfig><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow user=\"*\"/><allow own=\"*\"/><allow send_destination=\"*\"/><allow receive_sender=\"*\"/>\
             </policy></busconfig>",
            socket.display()
        ),
    );
    let daemon = Command::new("dbus-daemon")
        .arg(format!("--config-file={}", laid.at("bus.conf").display()))
        .arg("--nofork")
        .stdin(Stdio::null())
        // It complains of limits that it may not raise.
        .stderr(Stdio::null())
        .spawn()
        .expect("dbus-daemon is needed: install the package dbus-daemon");
    let daemon = BusDaemon(daemon);
    let begun = Instant::now();
    while !socket.exists() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the bus does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
    daemon
}

struct Manager;

type Unit = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

fn unit(name: &str, active: &str, object: &str) -> Unit {
    let path = |path: &str| OwnedObjectPath::try_from(path).unwrap();
    let text = str::to_owned;
    (
        text(name),
        format!("{name} on the bus"),
        text("loaded"),
        text(active),
        text("running"),
        text(""),
        path(object),
        0,
        text(""),
        path("/"),
    )
}

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn list_units(&self) -> Vec<Unit> {
        vec![
            unit("guard.service", "active", "/org/freedesktop/systemd1/unit/guard"),
            unit("broken.mount", "failed", "/org/freedesktop/systemd1/unit/broken"),
            unit("x.device", "active", "/org/freedesktop/systemd1/unit/x"),
        ]
    }

    fn list_unit_files(&self) -> Vec<(String, String)> {
        vec![("/usr/lib/systemd/system/guard.service".into(), "enabled-runtime".into())]
    }

    #[zbus(property)]
    fn version(&self) -> String {
        "257.9".into()
    }

    #[zbus(property, name = "NFailedUnits")]
    fn failed(&self) -> u32 {
        1
    }
}

struct Guard;

#[zbus::interface(name = "org.freedesktop.systemd1.Service")]
impl Guard {
    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> u32 {
        4711
    }

    #[zbus(property, name = "NRestarts")]
    fn restarts(&self) -> u32 {
        3
    }

    #[zbus(property)]
    fn memory_current(&self) -> u64 {
        u64::MAX
    }

    #[zbus(property)]
    fn exec_main_start_timestamp(&self) -> u64 {
        1_767_225_600_000_000
    }

    /// Of a type that is not shown.
    #[zbus(property)]
    fn environment(&self) -> HashMap<String, String> {
        HashMap::from([("SECRET".into(), "geheim".into())])
    }
}

fn laid() -> Laid {
    let laid = Laid::new();
    laid.file("run/systemd/system/none", "");
    laid.file("usr/lib/systemd/system/guard.service", "[Service]\nExecStart=/usr/sbin/guard\n");
    laid
}

#[test]
fn systemd_is_asked_over_the_bus() {
    let laid = laid();
    let _bus = bus(&laid);
    let address = format!("unix:path={}", laid.at("run/dbus/system_bus_socket").display());
    let _systemd = zbus::block_on(
        zbus::connection::Builder::address(address.as_str())
            .serve_at("/org/freedesktop/systemd1", Manager)
            .serve_at("/org/freedesktop/systemd1/unit/guard", Guard)
            .name("org.freedesktop.systemd1")
            .build(),
    )
    .unwrap();
    let document = laid.collect(&["services"]).remove(0);
    assert_eq!(document["data"]["manager"]["version"], "257.9", "{document:#}");
    assert_eq!(document["data"]["manager"]["failed_units"], 1);
    let units = &document["data"]["units"];
    let guard = find(units, "name", "guard.service");
    for (field, expected) in [
        ("description", Value::from("guard.service on the bus")),
        ("active", "active".into()),
        ("enabled", "enabled-runtime".into()),
        ("main_pid", 4711.into()),
        ("restarts", 3.into()),
        ("memory_bytes", Value::Null),
        ("started_at", "2026-01-01T00:00:00Z".into()),
    ] {
        assert_eq!(guard[field], expected, "{field}");
    }
    assert_eq!(guard["exec_start"][0], "/usr/sbin/guard", "from the file");
    assert_eq!(find(units, "name", "broken.mount")["active"], "failed");
    assert_eq!(units.as_array().unwrap().len(), 2, "devices start nothing");
    assert!(!document.to_string().contains("geheim"));
}

#[test]
fn a_bus_that_is_silent_or_gone_costs_its_collectors_alone() {
    let laid = laid();
    laid.file("run/dbus/none", "");
    let silent = UnixListener::bind(laid.at("run/dbus/system_bus_socket")).unwrap();
    let only = vec![group("services").unwrap(), group("system").unwrap()];
    let options = Options { only, each: Duration::from_secs(2), ..laid.options() };
    let begun = Instant::now();
    let all = values(&collect(&options, |_| ()).unwrap());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let errors = all[1]["errors"].to_string();
    assert!(errors.contains("given up") || errors.contains("timed out"), "{errors}");
    assert!(all[0]["data"]["kernel"].is_object() && all[1]["data"]["system_v"].is_array());
    drop(silent);
    let all = laid.collect(&["services"]);
    assert!(all[0]["errors"].to_string().contains("only what their files say"), "{}", all[0]["errors"]);
    assert_eq!(find(&all[0]["data"]["units"], "name", "guard.service")["enabled"], "static");
}

/// Answers one request.
fn cups(socket: &Path, answer: Vec<u8>) -> std::thread::JoinHandle<Vec<u8>> {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 4096];
        let len = stream.read(&mut request).unwrap();
        request.truncate(len);
        // Whoever has heard enough may be gone.
        let _ = stream.write_all(&answer);
        request
    })
}

/// An answer of IPP: one printer with a few attributes; status 0 is success, 0x0401 forbidden.
fn printers(status: [u8; 2]) -> Vec<u8> {
    fn attribute(body: &mut Vec<u8>, tag: u8, name: &str, value: &[u8]) {
        body.push(tag);
        for part in [name.as_bytes(), value] {
            body.extend([(part.len() >> 8) as u8, part.len() as u8]);
            body.extend(part);
        }
    }
    let mut body = vec![1, 1, status[0], status[1], 0, 0, 0, 1, 0x01];
    attribute(&mut body, 0x47, "attributes-charset", b"utf-8");
    attribute(&mut body, 0x48, "attributes-natural-language", b"en");
    body.push(0x04);
    attribute(&mut body, 0x42, "printer-name", b"Laser");
    attribute(&mut body, 0x45, "device-uri", b"ipp://me:geheim@10.1.2.3/ipp");
    attribute(&mut body, 0x23, "printer-state", &[0, 0, 0, 4]);
    attribute(&mut body, 0x49, "document-format-supported", b"image/urf");
    attribute(&mut body, 0x49, "", b"application/pdf");
    body.push(0x03);
    body
}

#[test]
fn cups_is_asked_over_its_socket() {
    let http = |status: &str, body: &[u8]| {
        let mut answer = format!("HTTP/1.0 {status}\r\nContent-Type: application/ipp\r\n\r\n").into_bytes();
        answer.extend(body);
        answer
    };
    let laid = Laid::new();
    laid.file("etc/cups/printers.conf", "<Printer of_the_file>\n</Printer>\n");
    laid.file("run/cups/none", "");
    let socket = laid.at("run/cups/cups.sock");
    let server = cups(&socket, http("200 OK", &printers([0, 0])));
    let document = laid.collect(&["printing"]).remove(0);
    let request = server.join().unwrap();
    assert!(request.starts_with(b"POST / HTTP/1.0\r\n") && request.windows(2).any(|w| w == [0x40, 0x02]));
    let laser = find(&document["data"]["queues"], "name", "Laser");
    assert_eq!(
        (&laser["state"], &laser["uri"]),
        (&"processing".into(), &"ipp://[removed]@10.1.2.3/ipp".into())
    );
    assert_eq!(laser["formats"], serde_json::json!(["image/urf", "application/pdf"]));
    // What is no answer is said, and the file looked at.
    for answer in [
        http("403 Forbidden", b""),
        http("200 OK", &printers([0, 0])[..40]),
        http("200 OK", &printers([4, 1])),
        b"nonsense".to_vec(),
        Vec::new(),
        http("200 OK", &[0xff; 100_000]),
    ] {
        std::fs::remove_file(&socket).unwrap();
        let server = cups(&socket, answer);
        let document = laid.collect(&["printing"]).remove(0);
        server.join().unwrap();
        assert!(document["errors"].to_string().contains("cups.sock"), "{document:#}");
        find(&document["data"]["queues"], "name", "of_the_file");
    }
}
