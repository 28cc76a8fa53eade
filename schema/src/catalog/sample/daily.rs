//! Messages, the web, certificates, the interface, audit.

use std::time::Duration;

use super::{Numbers, Story, Visitor};
use crate::Timestamp;
use crate::catalog::*;

pub(super) fn visit(s: &Story, n: &mut Numbers, visitor: &mut impl Visitor) {
    message(s, n, visitor);
    web(s, n, visitor);
    certificate(s, n, visitor);
    ui(s, n, visitor);
    audit(s, n, visitor);
}

fn message(s: &Story, n: &mut Numbers, visitor: &mut impl Visitor) {
    visitor.event(&MessageMail {
        message_key: n.maybe("<1234@example.com>"),
        direction: n.pick([Direction::Inbound, Direction::Outbound]),
        protocol: n.pick([MailProtocol::Imap, MailProtocol::Smtp, MailProtocol::Pop3]),
        server: n.maybe("mail.example.org"),
        port: 993,
        tls: true,
        tls_version: TlsVersion::Tls13,
        connection_id: n.maybe(s.connection_id),
        account: n.maybe("alex@example.org"),
        from: n.maybe("sam@example.com"),
        to: n.some(&["alex@example.org", "kim@example.org"]),
        cc: n.some(&["team@example.org"]),
        bcc: n.some(&["archive@example.org"]),
        recipients: 4,
        cc_count: 1,
        bcc_count: 1,
        subject: n.maybe("Your invoice"),
        subject_length: n.maybe(12),
        date: n.maybe(s.begun),
        size: s.size,
        headers: 10 + n.below(30),
        reply_to_key: n.maybe("<1233@example.org>"),
        return_path: n.maybe("bounce@example.com"),
        spf: n.pick([SenderCheck::Pass, SenderCheck::SoftFail, SenderCheck::None]),
        dkim: n.pick([SenderCheck::Pass, SenderCheck::Fail]),
        dmarc: n.pick([SenderCheck::Pass, SenderCheck::Unknown]),
        list_id: n.maybe("news.example.com"),
        part_types: &["text/plain", "application/zip"],
        part_dispositions: &[PartDisposition::Inline, PartDisposition::Attachment],
        part_names: &["", "invoice.zip"],
        part_sizes: &[800, 40_000],
        part_hashes: &[[0; 32], s.sha256],
        urls: n.some(&["https://example.net/a?b=c", "http://www.example.com/"]),
        url_count: 2,
        body_length: 800,
        body_hash: n.maybe(s.certificate_id),
        encrypted: n.chance(),
        signed: n.chance(),
        verdict: n.pick([Verdict::Clean, Verdict::Phishing, Verdict::Spam]),
        action: n.pick([Disposition::Allowed, Disposition::Quarantined]),
        folder: n.maybe("INBOX"),
        process_key: Some(s.process_key),
        login: n.maybe("alex"),
        password: n.maybe("hunter2"),
        correlation: s.correlation,
        parent_correlation: s.parent_correlation,
    });
    visitor.event(&MessageInstant {
        network: "chat.example.com",
        protocol: n.maybe("xmpp"),
        account: n.maybe("alex"),
        peer: n.maybe("sam"),
        group: n.maybe("friends"),
        group_size: n.maybe(5),
        direction: n.pick([Direction::Inbound, Direction::Outbound]),
        kind: n.pick([InstantKind::Text, InstantKind::File, InstantKind::Link]),
        length: n.below(500),
        language: n.maybe("en"),
        attachment_name: n.maybe(s.file_name),
        attachment_size: n.maybe(s.size),
        attachment_sha256: n.maybe(s.sha256),
        attachment_type: n.maybe("application/zip"),
        urls: n.some(&["https://example.net/a?b=c"]),
        sent_at: s.begun,
        edited: n.chance(),
        deleted: false,
        end_to_end: n.chance(),
        verdict: n.pick([Verdict::Clean, Verdict::Suspicious]),
        action: Disposition::Allowed,
        process_key: Some(s.process_key),
        correlation: s.correlation,
        parent_correlation: s.parent_correlation,
    });
}

fn web(s: &Story, n: &mut Numbers, visitor: &mut impl Visitor) {
    visitor.event(&WebVisit {
        visit_id: s.visit_id,
        scheme: "https",
        host: s.host,
        port: 443,
        path: n.maybe("/files"),
        query: n.maybe("q=1&id=secret"),
        method: n.pick(["GET", "POST"]),
        referrer: n.maybe("https://search.example.com/?q=x"),
        status: n.pick([200, 302, 404, 0]),
        mime: n.maybe("text/html"),
        request_length: n.below(2000).into(),
        response_length: s.size,
        categories: n.some(&["software", "downloads"]),
        verdict: n.pick([Verdict::Clean, Verdict::Suspicious]),
        blocked: n.chance(),
        resource: n.pick([ResourceKind::Page, ResourceKind::Script, ResourceKind::Download]),
        tab: n.maybe(3),
        frame: n.maybe(0),
        process_key: Some(s.browser_key),
        user_agent: n.maybe("Mozilla/5.0 (X11; Linux x86_64) Example/1.0"),
        server: n.maybe(s.remote.ip()),
        connection_id: n.maybe(s.connection_id),
        certificate_id: n.maybe(s.certificate_id),
        took: s.took,
        correlation: s.correlation,
        parent_correlation: s.parent_correlation,
    });
    visitor.event(&WebLogin {
        visit_id: s.visit_id,
        scheme: "https",
        host: s.host,
        login: n.maybe("alex"),
        form_field: n.maybe("user"),
        realm: n.maybe("members"),
        password: n.maybe("hunter2"),
        token: n.maybe("example-bearer-token"),
        authentication: n.pick([Authentication::Form, Authentication::Basic, Authentication::Bearer]),
        succeeded: n.maybe(true),
        process_key: Some(s.browser_key),
        correlation: s.correlation,
        parent_correlation: s.parent_correlation,
    });
    visitor.event(&WebCookies {
        visit_id: s.visit_id,
        domain: s.host,
        name: n.pick(["sid", "lang"]),
        value: n.maybe("sid=abc0123456789"),
        path: n.maybe("/"),
        expires: n.maybe(s.after(86_400_000)),
        secure: n.chance(),
        http_only: n.chance(),
        same_site: n.pick([SameSite::Lax, SameSite::Strict, SameSite::None]),
        was_set: n.chance(),
        count: 2,
        file_path: n.maybe("/home/alex/.mozilla/firefox/x.default/cookies.sqlite"),
        file_size: n.maybe(524_288),
        process_key: Some(s.browser_key),
        correlation: s.correlation,
        parent_correlation: s.parent_correlation,
    });
}

fn certificate(s: &Story, n: &mut Numbers, visitor: &mut impl Visitor) {
    visitor.event(&CertificateSeen {
        certificate_id: s.certificate_id,
        sha1: n.maybe([1; 20]),
        version: 3,
        serial: &[3, 0x5a, 1],
        subject: "CN=www.example.com,O=Example Ltd,C=GB",
        issuer: "CN=Example CA,O=Example Trust,C=GB",
        not_before: Timestamp(1_790_000_000_000_000_000),
        not_after: Timestamp(1_800_000_000_000_000_000),
        dns_names: &["example.com", "www.example.com"],
        addresses: n.some(&[s.v4, s.v6]),
        emails: n.some(&["admin@example.com"]),
        key_algorithm: "EC",
        key_bits: 256,
        curve: n.maybe("P-256"),
        spki_sha256: n.maybe([2; 32]),
        signature_algorithm: "ecdsa-with-SHA256",
        key_usage: &["digitalSignature"],
        extended_usage: n.some(&["serverAuth", "clientAuth"]),
        is_ca: false,
        path_length: None,
        name_constraints: n.some(&["example.com", "!test.example.com"]),
        authority_key_id: n.maybe(&[4, 5, 6]),
        subject_key_id: n.maybe(&[7, 8, 9]),
        ocsp_urls: n.some(&["http://ocsp.example.com"]),
        issuer_urls: n.some(&["http://ca.example.com/ca.der"]),
        crl_urls: n.some(&["http://crl.example.com/ca.crl"]),
        sct_count: 2,
        policies: n.some(&["2.23.140.1.2.2"]),
        extended_validation: false,
        self_signed: false,
        chain: &[s.certificate_id, [3; 32]],
        chain_complete: n.chance(),
        trust: n.pick([TrustResult::Trusted, TrustResult::Untrusted, TrustResult::Expired]),
        store: n.maybe("system"),
        errors: n.some(&["the issuer is not known"]),
        revocation: n.pick([RevocationState::Unknown, RevocationState::Good]),
        substituted_id: n.maybe([9; 32]),
        host: n.maybe(s.host),
        port: n.maybe(443),
        der: n.maybe(&[0x30, 0x82, 0x01, 0x0a]),
        process_key: Some(s.browser_key),
        correlation: s.correlation,
    });
}

fn ui(s: &Story, n: &mut Numbers, visitor: &mut impl Visitor) {
    visitor.event(&UiAction {
        window: n.pick(["main", "settings", "quarantine"]),
        control: n.pick(["scan_now", "restore", "cloud_lookups"]),
        action: n.pick([UiActionKind::Click, UiActionKind::Toggle, UiActionKind::Type]),
        setting: n.maybe("web.cloud_lookups"),
        old_value: n.maybe("off"),
        new_value: n.maybe("on"),
        typed_length: n.maybe(8),
        source: n.pick([UiSource::Mouse, UiSource::Keyboard, UiSource::Assistive]),
        took: n.maybe(s.took),
        from_window: n.maybe("main"),
        locale: n.maybe("en_GB"),
        theme: n.maybe("dark"),
        scale: n.maybe(125),
        latency: n.maybe(Duration::from_millis(16)),
        correlation: s.correlation,
    });
    visitor.event(&UiNotification {
        notification: 1 + n.below(40),
        action: n.pick([NotificationAction::Shown, NotificationAction::Clicked, NotificationAction::Expired]),
        button: n.maybe("details"),
        visible: n.maybe(Duration::from_millis(3800)),
        detection_id: n.maybe(s.detection_id),
        correlation: s.correlation,
    });
}

fn audit(s: &Story, n: &mut Numbers, visitor: &mut impl Visitor) {
    let (uid, pid, image_path) = (s.uid, s.pid, n.maybe("/usr/bin/tracewell"));
    let how = n.pick([AuditMethod::CommandLine, AuditMethod::Interface]);
    let (bundle_id, digest, recipient) = (n.id(), s.sha256, "support.example.com");
    visitor.event(&AuditEnabled {
        uid,
        pid,
        image_path,
        how,
        scope: n.pick(["all=info", "all=warn, network=debug"]),
        opt_ins: n.some(&["web.visit.path", "web.cookies"]),
        until: n.maybe(s.after(3_600_000)),
        request_id: n.maybe("INC-004711"),
    });
    visitor.event(&AuditDisabled {
        uid,
        pid,
        image_path,
        reason: n.pick(["the problem was reproduced", "its time was over"]),
    });
    visitor.event(&AuditViewed { uid, pid, image_path, how, bundle_id, members: 1 + n.below(40) });
    visitor.event(&AuditConsented {
        uid,
        pid,
        image_path,
        how,
        bundle_id,
        digest,
        statement: "2026-10",
        recipient,
    });
    visitor.event(&AuditSent {
        uid,
        pid,
        image_path,
        bundle_id,
        digest,
        recipient,
        channel: n.maybe("tls1.3"),
        certificate_id: n.maybe(s.certificate_id),
        bytes: s.size,
    });
    visitor.event(&AuditReceipt { uid, pid, image_path, bundle_id, digest, receipt: "r-20261124-0017" });
    visitor.event(&AuditExported {
        uid,
        pid,
        image_path,
        how,
        format: n.pick(["json", "text"]),
        path: n.maybe("/home/alex/trace.json"),
        events: n.below(100_000).into(),
    });
}
