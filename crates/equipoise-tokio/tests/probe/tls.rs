use std::sync::Arc;

use equipoise_tokio::probe::{
    Answer, BodyMatch, Http, HttpVersion, InvalidProbe, Target, Tls, TlsClient,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::support::{
    answer, ask, assert_bounded, backend, drain, endless, nobody, read_head, words,
};

/// An authority, and what it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("test authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn client(&self) -> TlsClient {
        TlsClient::with_ca(self.pem.as_bytes()).unwrap()
    }

    fn sign(&self, mut params: CertificateParams, from: i32, to: i32) -> ServerConfig {
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        config(certificate.der().clone(), &key)
    }

    /// A server with a certificate for this name, valid in these years.
    pub(crate) fn server(&self, name: &str, from: i32, to: i32) -> ServerConfig {
        self.sign(CertificateParams::new(vec![name.to_owned()]).unwrap(), from, to)
    }
}

fn config(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap()
}

/// A backend that speaks TLS, tells which name was asked for, and then answers as HTTP/1.1.
fn serve(config: ServerConfig) -> (Target, mpsc::UnboundedReceiver<Option<String>>) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (tell, names) = mpsc::unbounded_channel();
    let target = backend(move |stream| {
        let (acceptor, tell) = (acceptor.clone(), tell.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let _ = tell.send(stream.get_ref().1.server_name().map(str::to_owned));
            read_head(&mut stream).await;
            let _ = stream.write_all(&answer(200, b"ready")).await;
            let _ = stream.shutdown().await;
            drain(&mut stream).await;
        }
    });
    (target, names)
}

fn named(target: Target) -> Target {
    target.with_host("shop.example.com:443").unwrap()
}

#[tokio::test]
async fn a_certificate_that_holds_passes_and_the_name_is_asked_for() {
    let authority = Authority::new();
    let probe = Tls::new(authority.client());
    let (target, mut names) = serve(authority.server("shop.example.com", 2020, 4000));
    assert_eq!(ask(&probe, &named(target.clone())).await, Ok(Answer::Pass));
    assert_eq!(names.recv().await, Some(Some("shop.example.com".to_owned())));

    let client = authority.client().with_server_name("shop.example.com").unwrap();
    assert_eq!(ask(&Tls::new(client), &target).await, Ok(Answer::Pass));
    assert_eq!(names.recv().await, Some(Some("shop.example.com".to_owned())));

    let (target, mut names) = serve(authority.server("127.0.0.1", 2020, 4000));
    assert_eq!(ask(&probe, &target).await, Ok(Answer::Pass));
    assert_eq!(names.recv().await, Some(None), "no name is asked for by address");
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_fails_in_words() {
    let authority = Authority::new();
    let probe = Tls::new(authority.client());
    let name = "shop.example.com";
    let stranger = Authority::named("stranger");
    let renewed = Authority::new();
    let alone = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    for (server, wanted) in [
        (authority.server(name, 2000, 2001), "TLS: certificate expired"),
        (authority.server(name, 3000, 3001), "TLS: certificate not valid yet"),
        (
            authority.server("b.example.com", 2020, 4000),
            "TLS: certificate is not for `shop.example.com`",
        ),
        (stranger.server(name, 2020, 4000), "TLS: certificate of an unknown issuer"),
        (
            renewed.server(name, 2020, 4000),
            "TLS: certificate is not signed by the issuer that it names",
        ),
        (
            config(alone.cert.der().clone(), &alone.signing_key),
            "TLS: certificate of an unknown issuer",
        ),
    ] {
        let (target, _names) = serve(server);
        assert_eq!(words(&probe, &named(target)).await, wanted);
    }
}

#[tokio::test]
async fn whoever_trusts_everybody_checks_the_handshake_alone() {
    let probe = Tls::new(TlsClient::insecure().unwrap());
    let (target, _names) = serve(Authority::new().server("b.example.com", 2000, 2001));
    assert_eq!(ask(&probe, &named(target)).await, Ok(Answer::Pass));
    assert_eq!(words(&probe, &nobody()).await, "connection refused");
}

#[tokio::test]
async fn garbage_for_a_handshake_fails_within_bounds() {
    let probe = Tls::new(TlsClient::insecure().unwrap());
    let (plain, _) = endless("HTTP/1.1 400 X\r\n\r\n", "x");
    assert_eq!(words(&probe, &plain).await, "TLS: answer is not TLS");
    let closes = backend(|mut stream| async move {
        let mut bytes = [0; 4096];
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await;
    });
    assert_eq!(words(&probe, &closes).await, "TLS: closed before the handshake was complete");
    let garbage = |once: &[u8], again: &[u8]| endless(once, again);
    // Plain garbage, a record that never ends, empty records of a handshake, warnings for ever.
    for (once, again) in [
        (&b""[..], &b"\x00\xff garbage"[..]),
        (b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff", &[0; 4096]),
        (b"", b"\x16\x03\x03\x00\x00"),
        (b"", b"\x15\x03\x03\x00\x02\x01\x00"),
        (b"", b"\x14\x03\x03\x00\x01\x01"),
    ] {
        let (target, sent) = garbage(once, &again.repeat(64));
        let error = words(&probe, &target).await;
        assert!(error.starts_with("TLS: ") || error.starts_with("sent more than"), "{error}");
        assert_bounded(&sent, 128 * 1024);
    }
}

#[tokio::test]
async fn http_is_asked_over_tls() {
    let authority = Authority::new();
    let probe = |client| {
        let body = BodyMatch::regex("^ready$").unwrap();
        Http::get("/").body(body).tls(client).build().unwrap()
    };
    let (target, mut names) = serve(authority.server("shop.example.com", 2020, 4000));
    let target = named(target);
    assert_eq!(ask(&probe(authority.client()), &target).await, Ok(Answer::Pass));
    assert_eq!(names.recv().await, Some(Some("shop.example.com".to_owned())));
    let stranger = Authority::named("stranger").client();
    assert_eq!(words(&probe(stranger), &target).await, "TLS: certificate of an unknown issuer");
}

#[tokio::test]
async fn a_backend_over_tls_that_closes_or_does_not_offer_h2_is_told_as_such() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::new(authority.server("127.0.0.1", 2020, 4000)));
    let closes = backend(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            read_head(&mut stream).await;
            let _ = stream.shutdown().await;
        }
    });
    let probe = Http::get("/").tls(authority.client());
    assert_eq!(words(&probe.clone().build().unwrap(), &closes).await, "closed before an answer");
    let h2 = probe.version(HttpVersion::Http2).build().unwrap();
    assert_eq!(words(&h2, &closes).await, "TLS: backend does not offer h2");
}

#[test]
fn settings_that_are_wrong_are_refused_with_the_name_of_the_field() {
    for pem in
        ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        assert_eq!(TlsClient::with_ca(pem.as_bytes()).unwrap_err().field(), "ca", "{pem:?}");
    }
    for name in ["", "a b", "a..b", "a:80"] {
        let refused = TlsClient::insecure().unwrap().with_server_name(name).unwrap_err();
        assert_eq!(refused, InvalidProbe::ServerName(name.to_owned()));
    }
}
