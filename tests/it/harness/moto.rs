//! moto, an emulator of Amazon's services that enforces identities and policies: buckets, users,
//! roles and the token service on one port.
//!
//! Its server is found by `ONRECORD_MOTO`, or on the path, beside its Python.

use super::clouds::{Process, call, find};
use super::stores::Keys;
use http::Method;
use onrecord::bucket::{AccessKey, KeyId};
use onrecord::clock::Clock;
use onrecord::deliver::{S3Options, S3Store};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::process::Command;

/// The account that everything belongs to.
pub(crate) const ACCOUNT: &str = "123456789012";
/// The id that the roles' owner has agreed on with whoever delivers.
pub(crate) const EXTERNAL_ID: &str = "org-1";

/// As the server itself would start, but as strict as Amazon in two things that moto lets
/// through (who gives no external id where one is wanted, and roles that do not exist), and with errors
/// and answers in the form that Amazon gives them.
const START: &str = r#"
import sys
from moto.core import exceptions, responses
from moto.iam import access_control, policy_conditions

def verify(self, actual):
    test = policy_conditions.CONDITION_OPERATIONS[self._condition]
    wanted = self._expected_value
    return len(actual) == len(wanted) and all(test(w, a) for w, a in zip(wanted, actual))

base = access_control.IAMRequestBase
known = base._is_assuming_role_operation

def assuming(self, arn):
    role = ":role" in arn and self._action == "sts:AssumeRole"
    if role and not known(self, arn):
        self._raise_access_denied()
    return role

told = exceptions._RESTError.__init__

def tell(self, *args, **kwargs):
    told(self, *args, **kwargs)
    self.description = self.description.replace("<Errors>", "").replace("</Errors>", "")

serialized = responses.BaseResponse.serialized

def named(self, result):
    status, headers, body = serialized(self, result)
    if isinstance(body, str):
        body = body.replace("CompleteMultipartUploadResponse", "CompleteMultipartUploadResult")
    return status, headers, body

responses.BaseResponse.serialized = named
exceptions._RESTError.__init__ = tell
policy_conditions.TrustCondition.verify_condition = verify
base._is_assuming_role_operation = assuming
from moto.server import main
main(sys.argv[1:])
"#;

pub(crate) struct Moto {
    process: Process,
    /// A user that may take roles, and nothing else.
    pub(crate) taker: (String, String),
    /// A user that may put objects into `audit`.
    pub(crate) putter: (String, String),
}

impl Moto {
    /// Starts it with the buckets `audit` and `other`; `None`, after saying so, where it is not installed.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let python = find("ONRECORD_MOTO", "moto_server").map(|server| server.with_file_name("python"));
        let Some(python) = python.filter(|python| python.exists()) else {
            super::skip(test, "moto is not installed (.ci/run does)");
            return None;
        };
        let process = Process::start(|folder, address| {
            std::fs::write(folder.join("serve.py"), START).unwrap();
            let mut command = Command::new(python);
            // Nothing is enforced until everything is set up.
            command.env("INITIAL_NO_AUTH_ACTION_COUNT", "1000000").arg(folder.join("serve.py"));
            command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
            command
        });
        let nobody = (String::new(), String::new());
        let mut moto = Self { process, taker: nobody.clone(), putter: nobody };
        for bucket in ["audit", "other"] {
            let (status, body) = call(Method::PUT, &format!("{}/{bucket}", moto.url()), &[], b"");
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        }
        moto.taker = moto.user("taker", &allow("sts:AssumeRole", "*"));
        moto.putter = moto.user("putter", &allow("s3:PutObject", "arn:aws:s3:::audit/*"));
        Some(moto)
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.process.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.process.address)
    }

    /// From now on who asks needs a right to, or nobody does.
    pub(crate) fn enforce(&self, on: bool) {
        let free: &[u8] = if on { b"0" } else { b"1000000" };
        let url = format!("{}/moto-api/reset-auth", self.url());
        assert_eq!(call(Method::POST, &url, &[("content-type", "text/plain")], free).0, 200);
    }

    fn user(&self, name: &str, statement: &Value) -> (String, String) {
        self.iam("CreateUser", &[("UserName", name)]);
        self.iam(
            "PutUserPolicy",
            &[("UserName", name), ("PolicyName", "p"), ("PolicyDocument", &document(statement))],
        );
        let made = self.iam("CreateAccessKey", &[("UserName", name)]);
        (element(&made, "AccessKeyId"), element(&made, "SecretAccessKey"))
    }

    /// A role that this principal may take with the external id, and what it may do then. Its ARN.
    pub(crate) fn role(&self, name: &str, principal: &str, may: Option<&Value>) -> String {
        let trust = json!({"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}});
        self.iam("CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", &document(&trust))]);
        if let Some(may) = may {
            let policy = document(may);
            self.iam(
                "PutRolePolicy",
                &[("RoleName", name), ("PolicyName", "deliver"), ("PolicyDocument", &policy)],
            );
        }
        format!("arn:aws:iam::{ACCOUNT}:role/{name}")
    }

    /// Temporary credentials of a role: id, secret and token.
    pub(crate) fn session(&self, role: &str) -> (String, String, String) {
        let fields = [("RoleArn", role), ("RoleSessionName", "test"), ("ExternalId", EXTERNAL_ID)];
        let given = self.ask("sts", "AssumeRole", "2011-06-15", &fields);
        (element(&given, "AccessKeyId"), element(&given, "SecretAccessKey"), element(&given, "SessionToken"))
    }

    /// Who may take roles.
    pub(crate) fn principal() -> String {
        format!("arn:aws:iam::{ACCOUNT}:user/taker")
    }

    /// One action of identity management, while nothing is enforced.
    pub(crate) fn iam(&self, action: &str, fields: &[(&str, &str)]) -> String {
        self.ask("iam", action, "2010-05-08", fields)
    }

    fn ask(&self, service: &str, action: &str, version: &str, fields: &[(&str, &str)]) -> String {
        let mut form = format!("Action={action}&Version={version}");
        for (name, value) in fields {
            form += &format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        let by = format!(
            "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let headers = [("authorization", by.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let (status, body) = call(Method::POST, &self.url(), &headers, form.as_bytes());
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, 200, "{action}: {body}");
        body
    }

    /// The gateway's own store on the bucket `audit`, with the keys of one of the users.
    pub(crate) fn store(&self, keys: &(String, String), change: impl FnOnce(&mut S3Options)) -> S3Store {
        let mut options = S3Options::new("audit");
        options.bucket.endpoint = Some(self.url());
        options.bucket.path_style = true;
        options.bucket.region = Some("us-east-1".to_owned());
        options.bucket.keys = Some(AccessKey {
            id: KeyId::Plain(keys.0.clone()),
            secret: super::stores::secret(&keys.1),
            session_token: None,
        });
        change(&mut options);
        S3Store::new(&options, Clock::System)
    }

    /// A client that asks what nobody is kept from while nothing is enforced.
    pub(crate) fn client(&self) -> aws_sdk_s3::Client {
        super::stores::client_at(self.process.address, Keys("root", "root"))
    }

    /// All objects of `audit` with their bytes.
    pub(crate) fn objects(&self) -> std::collections::BTreeMap<String, Vec<u8>> {
        self.enforce(false);
        let client = self.client();
        std::thread::scope(|scope| {
            let read = || {
                crate::stores::wait(async {
                    let mut objects = std::collections::BTreeMap::new();
                    let mut after = None;
                    loop {
                        let page = client.list_objects_v2().bucket("audit").set_continuation_token(after);
                        let page = page.send().await.unwrap();
                        for key in page.contents().iter().filter_map(|object| object.key()) {
                            let object = client.get_object().bucket("audit").key(key).send().await.unwrap();
                            let bytes = object.body.collect().await.unwrap().to_vec();
                            objects.insert(key.to_owned(), bytes);
                        }
                        after = page.next_continuation_token().map(str::to_owned);
                        if after.is_none() {
                            return objects;
                        }
                    }
                })
            };
            scope.spawn(read).join().unwrap()
        })
    }
}

fn element(xml: &str, name: &str) -> String {
    let rest = xml.split(&format!("<{name}>")).nth(1).unwrap();
    rest.split('<').next().unwrap().to_owned()
}

/// A statement of a policy.
pub(crate) fn allow(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

fn document(statement: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}
