//! For a bucket of Amazon S3: role, trust, policy, lifecycle.

use super::SetupArgs;
use crate::deliver::{DestinationOptions, Encryption, S3Options};
use serde_json::{Value, json};

/// What the identity that delivers may do, and nothing else.
fn policy(destination: &DestinationOptions, options: &S3Options) -> Value {
    let mut actions = vec!["s3:PutObject"];
    if options.object_lock.is_some() {
        actions.push("s3:PutObjectRetention");
    }
    if !options.tags.is_empty() {
        actions.push("s3:PutObjectTagging");
    }
    // Parts of an upload that broke off.
    actions.push("s3:AbortMultipartUpload");
    let mut statements = vec![json!({
        "Sid": "OnrecordDelivers",
        "Effect": "Allow",
        "Action": actions,
        "Resource": format!("arn:aws:s3:::{}/{}*", options.bucket.name, destination.prefix),
    })];
    if let Some(Encryption::Kms { key: Some(key) }) = &options.encryption {
        // An id or alias is no resource: the key's ARN goes there.
        let arn = if key.starts_with("arn:") { key } else { "arn:aws:kms:REGION:ACCOUNT:key/ID" };
        statements.push(json!({
            "Sid": "OnrecordEncrypts",
            "Effect": "Allow",
            // Decrypt is for objects in parts alone.
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": arn,
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Who may take the role: one principal, and only with the external id that was agreed on.
fn trust(args: &SetupArgs) -> Value {
    let mut statement = json!({
        "Sid": "OnrecordAssumes",
        "Effect": "Allow",
        "Principal": { "AWS": args.principal.as_deref().unwrap_or("arn:aws:iam::111122223333:role/gateway") },
        "Action": "sts:AssumeRole",
    });
    if let Some(id) = &args.external_id {
        statement["Condition"] = json!({ "StringEquals": { "sts:ExternalId": id } });
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}

/// The commands.
pub(super) fn print(args: &SetupArgs, destination: &DestinationOptions, options: &S3Options) -> String {
    let bucket = &options.bucket.name;
    let name = format!("onrecord-{}", destination.name);
    let file = |what: &str, value: &Value| format!("cat > {name}-{what}.json <<'JSON'\n{value:#}\nJSON\n");
    let mut out = format!(
        "# For destination {} (s3://{bucket}/{}). Run it with rights of an administrator.\n\n",
        destination.name, destination.prefix
    );
    out += "# 1. The role that the gateway takes: who may take it\n";
    out += &file("trust", &trust(args));
    if args.principal.is_none() {
        out += "# arn:aws:iam::111122223333:role/gateway stands for your gateway's own identity: give it with --principal\n";
    }
    out += &format!(
        "aws iam create-role --role-name {name} --assume-role-policy-document file://{name}-trust.json\n\n"
    );
    out += "# 2. What it may do: create objects below the prefix, and nothing else\n";
    out += &file("policy", &policy(destination, options));
    out += &format!(
        "aws iam put-role-policy --role-name {name} --policy-name deliver --policy-document file://{name}-policy.json\n\n"
    );
    let rule = json!({ "Rules": [{
        "ID": "onrecord-unfinished-uploads",
        "Status": "Enabled",
        "Filter": { "Prefix": destination.prefix },
        "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 3 },
    }] });
    out += "# 3. Parts of uploads that were never finished go after three days.\n";
    out += "#    This replaces the bucket's lifecycle: add the rule to those that are there already.\n";
    out += &file("lifecycle", &rule);
    out += &format!(
        "aws s3api put-bucket-lifecycle-configuration --bucket {bucket} --lifecycle-configuration file://{name}-lifecycle.json\n"
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::setup::tests::documents;
    use crate::deliver::Store;

    fn printed(lock: bool) -> String {
        let mut options = S3Options::new("audit-1");
        options.object_lock = lock
            .then_some(crate::deliver::ObjectLock { mode: crate::deliver::LockMode::Governance, days: 1 });
        let mut destination = DestinationOptions::new("vault", Store::S3(Box::new(options.clone())));
        destination.prefix = "logs/".to_owned();
        let args = SetupArgs {
            principal: Some("arn:aws:iam::1:root".into()),
            external_id: Some("id-1".into()),
            ..SetupArgs::default()
        };
        print(&args, &destination, &options)
    }

    #[test]
    fn the_policy_lets_create_below_the_prefix_and_nothing_else() {
        let documents = documents(&printed(false));
        let names: Vec<&str> = documents.iter().map(|(name, _)| name.as_str()).collect();
        let wanted = ["trust", "policy", "lifecycle"].map(|what| format!("onrecord-vault-{what}.json"));
        assert_eq!(names, wanted);
        let statement = &documents[1].1["Statement"];
        assert_eq!(statement.as_array().unwrap().len(), 1);
        assert_eq!(statement[0]["Action"], json!(["s3:PutObject", "s3:AbortMultipartUpload"]));
        assert_eq!(statement[0]["Resource"], "arn:aws:s3:::audit-1/logs/*");
        let trust = &documents[0].1["Statement"][0];
        assert_eq!(trust["Condition"]["StringEquals"]["sts:ExternalId"], "id-1");
        assert_eq!(trust["Principal"]["AWS"], "arn:aws:iam::1:root");
    }

    #[test]
    fn tags_and_a_key_need_their_rights() {
        let mut options = S3Options::new("audit-1");
        options.tags = vec![("a".into(), "b".into())];
        options.encryption = Some(Encryption::Kms { key: Some("arn:aws:kms:eu-west-1:1:key/k".into()) });
        let destination = DestinationOptions::new("vault", Store::S3(Box::new(options.clone())));
        let policy = policy(&destination, &options);
        let actions = &policy["Statement"][0]["Action"];
        assert_eq!(actions, &json!(["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"]));
        assert_eq!(policy["Statement"][1]["Resource"], "arn:aws:kms:eu-west-1:1:key/k");
    }

    #[test]
    fn a_lock_needs_one_right_more() {
        let documents = documents(&printed(true));
        let actions = documents[1].1["Statement"][0]["Action"].as_array().unwrap().clone();
        assert!(actions.contains(&json!("s3:PutObjectRetention")) && actions.len() == 3);
    }
}
