//! The way to stores: proxies of each kind, the local address, and names that only the proxy knows.

use crate::harness::clouds::{Azurite, FakeGcs};
use crate::harness::moto::Moto;
use crate::harness::relays::{Relay, Speech};
use crate::harness::stores::secret;
use crate::harness::tls::{Authority, TlsFront};
use crate::stores::{create, wait};
use onrecord::clock::Clock;
use onrecord::deliver::{
    AzureAuth, AzureOptions, AzureStore, Cause, Created, Destination, GcsOptions, GcsStore,
};
use onrecord::egress::Route;
use std::net::SocketAddr;

const LOGIN: &str = "gateway:hunter2";

/// The same store by each kind of proxy. `server` speaks TLS, and is asked for as `host`.
fn by_each_proxy(
    server: SocketAddr,
    authority: &Authority,
    host: &str,
    store: &dyn Fn(&Route) -> Box<dyn Destination>,
) {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let tls = authority.server(&["127.0.0.1"], &[], None);
    for (scheme, speech) in [("http", Speech::Http), ("https", Speech::Https(tls)), ("socks5", Speech::Socks)]
    {
        let relay = Relay::start(speech, Some(server), Some(LOGIN));
        let route = |login: &str| Route {
            // Any address of loopback is this machine's.
            local: Some("127.0.0.9".parse().unwrap()),
            proxy: Some(format!("{scheme}://{}", relay.address).parse().unwrap()),
            proxy_login: Some(secret(login)),
            ca: Some(ca.clone()),
        };
        let key = format!("by-{scheme}");
        wait(async {
            let made = create(&*store(&route(LOGIN)), &key, b"x").await;
            assert_eq!(made, Ok(Created::Created), "{scheme}: {:?}", relay.seen());
            let refused = create(&*store(&route("gateway:wrong")), &key, b"x").await.unwrap_err();
            assert_eq!(refused.cause, Cause::Network, "{scheme}: {refused}");
            assert!(refused.words.contains("proxy") && !refused.words.contains("wrong"), "{refused}");
        });
        let seen = relay.seen();
        assert_eq!(seen[0], format!("127.0.0.9 CONNECT {host}"), "{scheme}: {seen:?}");
        assert_eq!(seen.last().unwrap(), "127.0.0.9 REFUSED", "{scheme}: {seen:?}");
    }
}

#[test]
fn each_store_is_reached_by_each_kind_of_proxy_from_the_local_address() {
    let authority = Authority::new("own");
    if let Some(moto) = Moto::start("ways out (S3)") {
        // The bucket in the host name, which nobody but the proxy can resolve.
        let front = TlsFront::before(moto.address(), authority.server(&["audit.s3.test"], &[], None));
        by_each_proxy(front.address, &authority, "audit.s3.test:443", &|route| {
            Box::new(moto.store(&moto.taker, |options| {
                options.bucket.endpoint = Some("https://s3.test".to_owned());
                options.bucket.path_style = false;
                options.bucket.route = route.clone();
            }))
        });
        let keys: Vec<String> = moto.objects().into_keys().collect();
        assert_eq!(keys.len(), 3, "{keys:?}");
    }
    if let Some(azurite) = Azurite::start("ways out (Azurite)") {
        let front =
            TlsFront::before(azurite.address(), authority.server(&["auditacct.blobs.test"], &[], None));
        // As with Microsoft, Azurite reads the account from a host that is no address.
        by_each_proxy(front.address, &authority, "auditacct.blobs.test:443", &|route| {
            let mut options = AzureOptions::new("https://auditacct.blobs.test/audit");
            options.auth = AzureAuth::Sas(secret(&azurite.sas("cw", 1)));
            options.route = route.clone();
            Box::new(AzureStore::new(&options, Clock::System))
        });
        assert_eq!(azurite.list().len(), 3);
    }
    if let Some(fake) = FakeGcs::start("ways out (GCS)") {
        let relay = Relay::start(Speech::Http, Some(fake.address()), Some(LOGIN));
        let mut options = GcsOptions::new("audit");
        options.endpoint = Some("http://google.test".to_owned());
        options.route.proxy = Some(format!("http://{}", relay.address).parse().unwrap());
        options.route.proxy_login = Some(secret(LOGIN));
        let store = GcsStore::new(&options, Clock::System);
        wait(async {
            assert_eq!(create(&store, "a", b"x").await, Ok(Created::Created));
            assert_eq!(create(&store, "a", b"x").await, Ok(Created::AlreadyThere));
        });
        let seen = relay.seen();
        assert!(seen[0].contains("POST http://google.test/upload/storage/v1/b/audit/o"), "{seen:?}");
        options.route.proxy = None;
        options.route.proxy_login = None;
        let error = wait(create(&GcsStore::new(&options, Clock::System), "a", b"x")).unwrap_err();
        assert_eq!(error.cause, Cause::Network, "{error}");
    }
}
