//! Plausible values of every event, for tests and demonstrations. Names and addresses are those reserved for examples.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::*;
use crate::event::Event;
use crate::{CorrelationId, Id128, ProcessKey, Timestamp};

/// Sees every event.
pub trait Visitor {
    /// One event.
    fn event<E: Event>(&mut self, event: &E);
}

/// A small generator of numbers, the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }
}

/// Shows one instance of every event of the catalog; other seeds give other values.
pub fn visit(seed: u64, visitor: &mut impl Visitor) {
    let mut n = Numbers(seed);
    let process_key = ProcessKey(n.bytes());
    let parent_key = ProcessKey(n.bytes());
    let (pid, parent_pid) = (1000 + n.below(30_000) as u32, 1 + n.below(999) as u32);
    let correlation = CorrelationId(n.next() | 1);
    let parent_correlation = CorrelationId(n.next() | 1);
    let sha256: [u8; 32] = n.bytes();
    let id = Id128(n.bytes());
    let now = Timestamp::now();
    let size = 1000 + n.below(5_000_000);
    let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, n.next() as u8));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.next() as u16));
    let names = ["invoice.pdf.exe", "setup-1.4.sh", "holiday.zip", "tool.AppImage"];
    let file_name = names[n.below(4) as usize];
    let path = format!("/home/alex/Downloads/{file_name}");
    let path = path.as_str();
    let hosts = ["downloads.example.com", "mail.example.org", "cdn.example.net"];
    let host = hosts[n.below(3) as usize];
    let url = format!("https://{host}/files/{file_name}");
    let url = Some(url.as_str());
    let image_path = "/usr/bin/browser";
    let took = Duration::from_micros(50 + n.below(100_000));
    let (remote, local) = (SocketAddr::new(v4, 443), SocketAddr::new(v6, 40_000 + n.below(9000) as u16));

    visitor.event(&ProtectionStateChanged {
        subsystem: Subsystem::File,
        state: ProtectionState::Running,
        previous: ProtectionState::Paused,
        cause: Cause::User,
        database_version: Some("2026.11.23"),
        licence_days: Some(200),
        ..Default::default()
    });
    visitor.event(&ProtectionScan {
        scan_id: id,
        name: "quick",
        phase: ScanPhase::Finished,
        files: n.below(100_000),
        detections: n.below(3) as u32,
        took: Some(took),
        correlation,
        ..Default::default()
    });
    visitor.event(&ProtectionDatabaseUpdated {
        version: "2026.11.24",
        previous: Some("2026.11.23"),
        date: Some(now),
        records: 14_000_000 + n.below(1000),
        took,
        ..Default::default()
    });
    visitor.event(&DetectionObject {
        detection_id: id,
        name: "EICAR-Test-File",
        classes: &["test"],
        severity: Severity::High,
        method: Method::Signature,
        confidence: Some(100),
        detected_at: now,
        object_kind: ObjectKind::File,
        object_name: file_name,
        object_path: path,
        size,
        file_names: &["a.txt", "b.txt"],
        file_paths: &["/tmp/a.txt", "/tmp/b.txt"],
        file_sizes: &[68, 70],
        sha256: Some(sha256),
        content_type: Some("text/plain"),
        process_key,
        pid: Some(pid),
        user: Some("alex"),
        parent_keys: &[parent_key],
        state: ObjectState::Present,
        techniques: &["T1204.002"],
        correlation,
        parent_correlation,
        ..Default::default()
    });
    visitor.event(&DetectionNetworkAttack {
        detection_id: id,
        name: "Scan.Generic.PortScan.TCP",
        severity: Severity::Medium,
        direction: Direction::Inbound,
        protocol: 6,
        local_port: 22,
        remote_port: Some(50_000),
        remote_address: Some(v4),
        remote_checksum: Some(v4),
        hits: 1 + n.below(50) as u32,
        first_seen: now,
        last_seen: now,
        blocked_for: Some(Duration::from_secs(3600)),
        correlation,
        ..Default::default()
    });
    visitor.event(&DetectionActivity {
        detection_id: id,
        name: "Behaviour.Encryptor",
        severity: Severity::Critical,
        kind: "mass file rewrite",
        target: Some("/home/alex/Documents"),
        count: n.below(500) as u32,
        blocked: true,
        process_key,
        pid,
        image_path: Some(path),
        techniques: &["T1486"],
        correlation,
        parent_correlation,
        ..Default::default()
    });
    visitor.event(&DetectionUrl {
        detection_id: id,
        verdict: "phishing",
        categories: &["phishing"],
        scheme: "https",
        host,
        port: 443,
        path: Some("/login"),
        query: Some("session=d41d8cd9"),
        referrer: Some("https://search.example.com/?q=bank"),
        blocked: true,
        process_key,
        pid,
        correlation,
        ..Default::default()
    });
    visitor.event(&DetectionDecision {
        detection_id: id,
        decided_by: DecidedBy::User,
        prompt_id: Some(7),
        options: &["quarantine", "allow"],
        default_option: Some("quarantine"),
        shown_at: Some(now),
        answered_at: Some(now),
        disposition: Disposition::Quarantined,
        scope: Scope::Object,
        backup_id: Some(id),
        correlation,
        ..Default::default()
    });
    visitor.event(&DownloadStarted {
        download_id: id,
        url,
        query: Some("token=7b3f"),
        server: Some(v4),
        port: Some(443),
        protocol: Some("https"),
        file_name,
        path,
        process_key,
        pid: Some(pid),
        image_path: Some(image_path),
        process_name: Some("browser"),
        parent_key,
        user: Some("alex"),
        size_declared: Some(size),
        started: now,
        correlation,
        ..Default::default()
    });
    visitor.event(&DownloadFinished {
        download_id: id,
        url,
        query: Some("token=7b3f"),
        server: Some(v4),
        file_name,
        path,
        process_key,
        pid: Some(pid),
        image_path: Some(image_path),
        attributes: FileAttributes::XATTRS,
        mode: 0o600,
        size,
        content_type: Some("application/x-executable"),
        sha256: Some(sha256),
        started: Some(now),
        finished: now,
        result: DownloadResult::Complete,
        correlation,
        ..Default::default()
    });
    visitor.event(&ProcessStart {
        process_key,
        pid,
        parent_key,
        parent_pid,
        image_path: path,
        parent_path: image_path,
        command_line: "invoice.pdf.exe --open \"my file\"",
        working_directory: Some("/home/alex"),
        environment_names: &["HOME", "PATH"],
        uid: 1000,
        user: Some("alex"),
        session: Some(2),
        started: now,
        launch: LaunchKind::Exec,
        size,
        attributes: FileAttributes::EXECUTABLE,
        sha256: Some(sha256),
        correlation,
        ..Default::default()
    });
    visitor.event(&ProcessExit {
        process_key,
        pid,
        image_path: path,
        exit_code: Some(n.below(3) as i32),
        ended: now,
        lifetime: Some(took),
        correlation,
        ..Default::default()
    });
    visitor.event(&ModuleLoad {
        process_key,
        pid,
        path: "/usr/lib/libexample.so.1",
        base: 0x7f00_0000_0000 + n.below(1 << 30),
        mapped: 200_704,
        load: LoadKind::Normal,
        sha256: Some(sha256),
        correlation,
        ..Default::default()
    });
    visitor.event(&ModuleImage {
        sha256,
        path,
        size,
        attributes: FileAttributes::EXECUTABLE,
        mode: 0o755,
        format: ImageFormat::Elf64,
        machine: 62,
        kind: 3,
        entry: 0x1040,
        section_names: &[".text", ".data"],
        section_addresses: &[0x1000, 0x4000],
        section_sizes: &[4096, 512],
        section_raw_sizes: &[4096, 512],
        section_flags: &[6, 3],
        section_entropy: &[6.1, 2.4],
        imports: &["libc.so.6"],
        import_count: 40,
        build_id: Some(&[1, 2, 3, 4]),
        hardening: Hardening::PIE | Hardening::NX,
        packers: &["UPX"],
        packer_confidence: Some(90),
        ..Default::default()
    });
    visitor.event(&NetworkConnection {
        connection_id: id,
        process_key,
        pid,
        image_path: Some(image_path),
        protocol: 6,
        direction: Direction::Outbound,
        local: Some(local),
        remote: Some(remote),
        remote_host: Some(host),
        host_source: HostSource::Dns,
        state: ConnectionState::Established,
        bytes_sent: n.below(10_000),
        bytes_received: n.below(1_000_000),
        started: Some(now),
        tls_version: Some("1.3"),
        correlation,
        ..Default::default()
    });
    visitor.event(&NetworkDns {
        name: host,
        record_type: "A",
        answers: &[v4, v6],
        took,
        process_key,
        pid: Some(pid),
        correlation,
        ..Default::default()
    });
    visitor.event(&MessageMail {
        message_key: Some("<1234@example.com>"),
        direction: Direction::Inbound,
        protocol: MailProtocol::Imap,
        server: Some("mail.example.org"),
        port: 993,
        tls: true,
        account: Some("alex@example.org"),
        from: Some("sam@example.com"),
        to: &["alex@example.org"],
        recipients: 1,
        subject: Some("Your invoice"),
        date: Some(now),
        size,
        part_types: &["text/plain", "application/zip"],
        part_names: &["invoice.zip"],
        part_sizes: &[800, 40_000],
        part_hashes: &[sha256],
        urls: &["https://example.net/a?b=c"],
        url_count: 1,
        body_length: 800,
        body_key: Some("Dear customer, ..."),
        login: Some("alex"),
        password: Some("hunter2"),
        correlation,
        ..Default::default()
    });
    visitor.event(&MessageInstant {
        network: "chat.example.com",
        account: Some("alex"),
        peer: Some("sam"),
        direction: Direction::Inbound,
        kind: InstantKind::File,
        length: 12,
        attachment_name: Some(file_name),
        attachment_size: Some(size),
        attachment_sha256: Some(sha256),
        sent_at: now,
        end_to_end: true,
        correlation,
        ..Default::default()
    });
    visitor.event(&WebVisit {
        visit_id: id,
        scheme: "https",
        host,
        port: 443,
        path: Some("/files"),
        query: Some("q=1"),
        method: "GET",
        referrer: Some("https://search.example.com/?q=x"),
        status: 200,
        mime: Some("text/html"),
        response_length: size,
        categories: &["software"],
        resource: ResourceKind::Page,
        process_key,
        server: Some(v4),
        took,
        correlation,
        ..Default::default()
    });
    visitor.event(&WebLogin {
        visit_id: id,
        host,
        login: Some("alex"),
        form_field: Some("user"),
        password: Some("hunter2"),
        token: None,
        authentication: Authentication::Form,
        succeeded: Some(true),
        process_key,
        correlation,
        ..Default::default()
    });
    visitor.event(&WebCookies {
        visit_id: id,
        domain: host,
        names: &["sid", "lang"],
        values: Some("sid=abc; lang=en"),
        secure: true,
        http_only: true,
        same_site: SameSite::Lax,
        was_set: true,
        count: 2,
        process_key,
        correlation,
        ..Default::default()
    });
    visitor.event(&CertificateSeen {
        certificate_id: sha256,
        version: 3,
        serial: &[3, 0x5a, 1],
        subject: "CN=example.com",
        issuer: "CN=Example CA",
        not_before: now,
        not_after: now,
        dns_names: &["example.com", "www.example.com"],
        key_algorithm: "EC",
        key_bits: 256,
        curve: Some("P-256"),
        signature_algorithm: "ecdsa-with-SHA256",
        key_usage: &["digitalSignature"],
        extended_usage: &["serverAuth"],
        sct_count: 2,
        chain: &[sha256],
        chain_complete: true,
        trust: "trusted",
        host: Some(host),
        correlation,
        ..Default::default()
    });
    visitor.event(&ErrorRaised {
        error_id: id,
        module: "updater",
        function: Some("fetch"),
        file: Some("fetch.rs"),
        line: Some(88),
        code: 110,
        domain: CodeDomain::Errno,
        arguments: &["cdn.example.net"],
        severity: Severity::Medium,
        repeated: n.below(5) as u32,
        operation: Some("load index"),
        object: Some("https://cdn.example.net/index"),
        retry: Some(true),
        free_memory: Some(1 << 30),
        correlation,
        ..Default::default()
    });
    visitor.event(&UiAction {
        window: "main",
        control: "scan_now",
        action: UiActionKind::Click,
        source: UiSource::Mouse,
        latency: Some(took),
        correlation,
        ..Default::default()
    });
    visitor.event(&UiNotification {
        notification: 12,
        action: NotificationAction::Clicked,
        button: Some("details"),
        visible: Some(took),
        correlation,
    });
    visitor.event(&AuditEnabled {
        uid: 1000,
        pid,
        scope: "all=info",
        opt_ins: &["web.visit.path"],
        until: Some(now),
        ..Default::default()
    });
    visitor.event(&AuditDisabled { uid: 1000, pid, reason: "user", ..Default::default() });
    visitor.event(&AuditViewed { uid: 1000, pid, bundle_id: id, members: 3, ..Default::default() });
    visitor.event(&AuditConsented {
        uid: 1000,
        pid,
        bundle_id: id,
        digest: sha256,
        statement: "2026-10",
        recipient: "support",
        ..Default::default()
    });
    visitor.event(&AuditSent {
        uid: 1000,
        pid,
        bundle_id: id,
        digest: sha256,
        recipient: "support",
        bytes: size,
        ..Default::default()
    });
    visitor.event(&AuditReceipt {
        uid: 1000,
        pid,
        bundle_id: id,
        digest: sha256,
        receipt: "r-1",
        ..Default::default()
    });
    visitor.event(&AuditExported {
        uid: 1000,
        pid,
        format: "json",
        path: Some("/home/alex/trace.json"),
        events: n.below(1000),
        ..Default::default()
    });
}
