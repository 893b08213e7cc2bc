//! Whose credentials a bucket is asked with: roles of other accounts, and identities of pods,
//! containers and machines.

use crate::harness::gateway::{Gateway, Source};
use crate::harness::load::Load;
use crate::harness::moto::{EXTERNAL_ID, Moto, allow};
use crate::harness::origin::Origin;
use crate::harness::services::{Asked, Said, Services};
use crate::stores::{create, wait};
use onrecord::bucket::Role;
use onrecord::deliver::{Cause, Created, Destination as _, PutError, S3Options};

fn role(arn: &str, id: Option<&str>) -> impl Fn(&mut S3Options) + use<> {
    let role = Role {
        arn: arn.to_owned(),
        external_id: id.map(str::to_owned),
        session_name: Role::SESSION_NAME.to_owned(),
        endpoint: None,
    };
    move |options| {
        options.bucket.role = Some(Role { endpoint: options.bucket.endpoint.clone(), ..role.clone() });
    }
}

/// The set-up of the reference: a role that may put objects into one bucket and nothing else, taken
/// with an external id.
#[test]
fn a_role_of_another_account_needs_the_right_id_and_nothing_but_put_object() {
    let Some(moto) = Moto::start("roles (AssumeRole)") else { return };
    let put = allow("s3:PutObject", "arn:aws:s3:::audit/*");
    let (arn, other) = (Moto::principal(), "arn:aws:iam::999999999999:root");
    let deliver = moto.role("deliver", &arn, Some(&put));
    let elsewhere = moto.role("elsewhere", other, Some(&put));
    let powerless = moto.role("powerless", &arn, None);
    let broad = moto.role("broad", &arn, Some(&allow("s3:*", "*")));
    let gone = moto.role("gone", &arn, None);
    moto.iam("DeleteRole", &[("RoleName", "gone")]);
    moto.enforce(true);

    let good = moto.store(&moto.taker, role(&deliver, Some(EXTERNAL_ID)));
    wait(async {
        assert_eq!(create(&good, "one", b"one").await, Ok(Created::Created));
        assert_eq!(create(&good, "one", b"two").await, Ok(Created::AlreadyThere));
    });
    let refused =
        |what: &str, keys: &(String, String), change: &dyn Fn(&mut S3Options), cause: Cause| -> PutError {
            let store = moto.store(keys, |options| change(options));
            let error = wait(create(&store, "x", b"x")).unwrap_err();
            eprintln!("{what}: {error}");
            assert_eq!(error.cause, cause, "{what}: {error}");
            assert!(!error.words.contains(&keys.1), "{error}");
            error
        };
    let taker = &moto.taker;
    for (what, arn, id) in [
        ("wrong id", &deliver, Some("org-2")),
        ("no id", &deliver, None),
        ("trusts somebody else", &elsewhere, Some(EXTERNAL_ID)),
        ("deleted", &gone, Some(EXTERNAL_ID)),
    ] {
        let error = refused(what, taker, &role(arn, id), Cause::Credentials);
        assert!(error.words.contains("sts:AssumeRole") && error.words.contains(arn.as_str()), "{error}");
        assert!(error.words.contains("is external_id the one that it wants?"), "{error}");
    }
    refused("no PutObject", taker, &role(&powerless, Some(EXTERNAL_ID)), Cause::Permission);
    let bucket = |arn: &str, name: &'static str| {
        let role = role(arn, Some(EXTERNAL_ID));
        move |options: &mut S3Options| {
            role(options);
            options.bucket.name = name.to_owned();
        }
    };
    refused("a bucket that it may not put to", taker, &bucket(&deliver, "other"), Cause::Permission);
    refused("no such bucket", taker, &bucket(&broad, "nowhere"), Cause::NotFound);
    let wrong = (moto.taker.0.clone(), "wrong".to_owned());
    refused("wrong secret", &wrong, &role(&deliver, Some(EXTERNAL_ID)), Cause::Credentials);
    refused(
        "nobody's key",
        &("AKIANOBODY".into(), "x1".into()),
        &role(&deliver, Some(EXTERNAL_ID)),
        Cause::Credentials,
    );
    refused("the own key alone", taker, &|_| {}, Cause::Permission);

    // What the role's owner mends is found without a restart.
    let store = moto.store(taker, role(&elsewhere, Some(EXTERNAL_ID)));
    assert!(wait(create(&store, "two", b"two")).is_err());
    moto.enforce(false);
    moto.iam("DeleteRolePolicy", &[("RoleName", "elsewhere"), ("PolicyName", "deliver")]);
    moto.iam("DeleteRole", &[("RoleName", "elsewhere")]);
    moto.role("elsewhere", &Moto::principal(), Some(&put));
    moto.enforce(true);
    assert_eq!(wait(create(&store, "two", b"two")), Ok(Created::Created));
    let there: Vec<String> = moto.objects().into_keys().collect();
    assert_eq!(there, ["one", "two"]);
}

/// One request through a gateway whose default chain finds credentials by this environment.
fn delivers(
    moto: &Moto,
    secrets: &[String],
    environment: &[(&str, &str)],
    keys: &[(&str, &str)],
    files: &[(&str, &str)],
) {
    let origin = Origin::start();
    let url = format!("{:?}", moto.url());
    let mut all =
        vec![("type", "\"s3\""), ("bucket", "\"audit\""), ("endpoint", &url), ("path_style", "true")];
    all.extend(keys);
    let mut builder = Gateway::builder().source(Source::new("api", &origin.url())).main_destination(&all);
    for (name, value) in [("AWS_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true")] {
        builder = builder.environment(name, value);
    }
    for (name, value) in environment {
        builder = builder.environment(name, value);
    }
    for (name, text) in files {
        builder = builder.file(name, text);
    }
    let records = || moto.objects().into_keys().filter(|key| key.starts_with("log_source=api/")).count();
    let before = records();
    moto.enforce(true);
    let mut gateway = builder.set("log", "level", "\"trace\"").start();
    Load::calm(1, 3).run(gateway.address());
    assert_eq!(gateway.stop().code(), Some(0));
    assert!(records() > before, "nothing was delivered");
    let log = gateway.log();
    for secret in secrets.iter().chain([&moto.taker.1]) {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}

/// Credentials of a role that may put objects.
fn session(moto: &Moto) -> (String, String, String) {
    let arn = moto.role("put", &Moto::principal(), Some(&allow("s3:PutObject", "arn:aws:s3:::audit/*")));
    moto.session(&arn)
}

/// An hour from now.
fn end() -> String {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn sts(keys: &(String, String, String), asked: &Asked) -> Said {
    let action = if asked.body.contains("AssumeRoleWithWebIdentity") {
        "AssumeRoleWithWebIdentity"
    } else {
        "AssumeRole"
    };
    let ((id, secret, token), end) = (keys, end());
    let body = format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
         <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{end}</Expiration></Credentials>\
         <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>R:s</AssumedRoleId></AssumedRoleUser>\
         </{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
    );
    (200, body)
}

#[test]
fn a_pod_delivers_by_its_web_identity() {
    let Some(moto) = Moto::start("roles (web identity)") else { return };
    let keys = session(&moto);
    let secrets = [keys.1.clone(), keys.2.clone()];
    let service = Services::start(move |asked| sts(&keys, asked));
    delivers(
        &moto,
        &secrets,
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "pod.token"),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
            ("AWS_ROLE_SESSION_NAME", "gateway-7"),
            ("AWS_ENDPOINT_URL_STS", &service.url()),
        ],
        &[],
        &[("pod.token", "the.pods.token")],
    );
    let asked = service.seen().remove(0).body;
    for part in
        ["Action=AssumeRoleWithWebIdentity", "WebIdentityToken=the.pods.token", "RoleSessionName=gateway-7"]
    {
        assert!(asked.contains(part), "{asked}");
    }
}

#[test]
fn a_container_and_a_machine_deliver_by_their_roles() {
    let Some(moto) = Moto::start("roles (container and machine)") else { return };
    let keys = session(&moto);
    let secrets = [keys.1.clone(), keys.2.clone()];
    let credentials = format!(
        "{{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"LastUpdated\":\"2026-01-01T00:00:00Z\",\"AccessKeyId\":\"{}\",\
         \"SecretAccessKey\":\"{}\",\"Token\":\"{}\",\"Expiration\":\"{}\"}}",
        keys.0,
        keys.1,
        keys.2,
        end()
    );
    let service = Services::start(move |asked| match asked.line.as_str() {
        "GET /container" if asked.head.contains("authorization: bearer-of-the-task") => {
            (200, credentials.clone())
        }
        "PUT /latest/api/token" => (200, "a-token-of-the-metadata-service".to_owned()),
        _ if !asked.head.contains("a-token-of-the-metadata-service") => (401, String::new()),
        "GET /latest/meta-data/iam/security-credentials/" => (200, "machine".to_owned()),
        "GET /latest/meta-data/iam/security-credentials/machine" => (200, credentials.clone()),
        "GET /latest/meta-data/placement/region" => (200, "us-east-1".to_owned()),
        _ => (404, String::new()),
    });
    let url = format!("{}/container", service.url());
    delivers(
        &moto,
        &secrets,
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "bearer-of-the-task"),
        ],
        &[],
        &[],
    );
    let asked = service.seen().len();
    assert!(asked > 0);
    let machine =
        [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &service.url())];
    delivers(&moto, &secrets, &machine, &[], &[]);
    assert!(service.seen().len() > asked);
}

#[test]
fn a_profile_and_the_destination_itself_take_a_role_with_its_external_id_and_session_name() {
    let Some(moto) = Moto::start("roles (profile)") else { return };
    let keys = session(&moto);
    let secrets = [keys.1.clone(), keys.2.clone()];
    let service = Services::start(move |asked| sts(&keys, asked));
    let (id, secret) = (&moto.taker.0, &moto.taker.1);
    let arn = "arn:aws:iam::123456789012:role/deliver";
    let shared = format!(
        "[profile audit]\nrole_arn = {arn}\nsource_profile = base\nexternal_id = org-1\nrole_session_name = by-profile\n\
         [profile base]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"
    );
    let url = service.url();
    let environment = [("AWS_CONFIG_FILE", "aws.ini"), ("AWS_ENDPOINT_URL_STS", url.as_str())];
    delivers(&moto, &secrets, &environment, &[("profile", "\"audit\"")], &[("aws.ini", &shared)]);

    let (sts, arn, id) = (format!("{url:?}"), format!("{arn:?}"), format!("{id:?}"));
    let keys = [
        ("access_key_id", id.as_str()),
        ("secret_access_key", "{ file = \"secret\" }"),
        ("role_arn", &arn),
        ("external_id", "\"org-1\""),
        ("session_name", "\"by-destination\""),
        ("sts_endpoint", &sts),
    ];
    delivers(&moto, &secrets, &[], &keys, &[("secret", secret)]);
    let seen: String = service.seen().into_iter().map(|asked| asked.body + "\n").collect();
    for name in ["by-profile", "by-destination"] {
        let asked = seen.lines().find(|body| body.contains(&format!("RoleSessionName={name}")));
        let asked = asked.unwrap_or_else(|| panic!("{name}: {seen}"));
        assert!(asked.contains("Action=AssumeRole&") && asked.contains("ExternalId=org-1"), "{asked}");
    }
}

/// Amazon's words for what no emulator says, with the page of its reference that they are from.
#[test]
fn a_token_service_that_refuses_or_is_not_there_has_its_cause() {
    let Some(moto) = Moto::start("roles (token services)") else { return };
    let refusal = |status: u16, code: &'static str, message: &'static str| {
        Services::start(move |_| {
            let body = format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                 <Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
            );
            (status, body)
        })
    };
    let arn = "arn:aws:iam::123456789012:role/deliver";
    for (status, code, message, cause) in [
        // "Common Errors" of the Security Token Service.
        (403, "ExpiredToken", "The security token included in the request is expired", Cause::ExpiredToken),
        (
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
            Cause::ExpiredToken,
        ),
        (
            400,
            "RequestExpired",
            "The request reached the service more than 15 minutes after",
            Cause::ClockSkew,
        ),
        (400, "Throttling", "Rate exceeded", Cause::Throttled),
        // "AssumeRole", section "Errors".
        (403, "RegionDisabledException", "STS is not activated in the requested region", Cause::WrongRegion),
    ] {
        let service = refusal(status, code, message);
        let store = moto.store(&moto.taker, |options| {
            role(arn, None)(options);
            options.bucket.role.as_mut().unwrap().endpoint = Some(service.url());
        });
        let error = wait(create(&store, "x", b"x")).unwrap_err();
        eprintln!("{error}");
        assert_eq!(error.cause, cause, "{code}: {error}");
        assert!(error.words.contains(message), "{error}");
    }
    let nobody = crate::harness::gateway::free_port();
    for (endpoint, cause) in [
        (format!("http://{nobody}"), Cause::Network),
        (moto.url().replace("http:", "https:"), Cause::Tls),
        ("http://no.such.host.invalid".to_owned(), Cause::Network),
    ] {
        let store = moto.store(&moto.taker, |options| {
            role(arn, None)(options);
            options.bucket.role.as_mut().unwrap().endpoint = Some(endpoint.clone());
        });
        let error = wait(create(&store, "x", b"x")).unwrap_err();
        eprintln!("{error}");
        assert_eq!(error.cause, cause, "{endpoint}: {error}");
        assert!(store.place().starts_with("s3://audit"));
    }
}
