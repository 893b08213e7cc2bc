//! For a bucket of Google Cloud Storage: service account, role, binding, credentials.

use super::quoted;
use crate::deliver::{DestinationOptions, GcsOptions};
use crate::secret::SecretRef;

/// The commands.
pub(super) fn print(destination: &DestinationOptions, options: &GcsOptions) -> String {
    let bucket = &options.bucket;
    let mut out = format!(
        "# For destination {} (gs://{bucket}/{}). Run it with rights of an administrator.\n",
        destination.name, destination.prefix
    );
    out += "PROJECT=$(gcloud config get-value project)\n";
    out += &format!("ACCOUNT={}\n", account(&destination.name));
    out += "EMAIL=\"$ACCOUNT@$PROJECT.iam.gserviceaccount.com\"\n\n";
    out += "# 1. The bucket, if it is not there yet: nobody reads it without a login\n";
    let location = destination.region.as_deref().map_or_else(|| "LOCATION".to_owned(), quoted);
    out += &format!(
        "# gcloud storage buckets create gs://{bucket} --location={location} --uniform-bucket-level-access --public-access-prevention\n\n"
    );
    out += "# 2. The service account that delivers\n";
    out += "gcloud iam service-accounts create \"$ACCOUNT\" --display-name='Onrecord delivers'\n\n";
    out += "# 3. What it may do: create objects, and neither read, list, replace nor delete them\n";
    out += "gcloud iam roles create onrecordDelivers --project=\"$PROJECT\" --title='Onrecord delivers' --permissions=storage.objects.create\n";
    let condition = if destination.prefix.is_empty() {
        "None".to_owned()
    } else {
        let start = format!("projects/_/buckets/{bucket}/objects/{}", destination.prefix);
        let literal = start.replace('\\', "\\\\").replace('"', "\\\"");
        // Another delimiter than the comma, which a prefix may hold.
        format!("^|^title=onrecord-prefix|expression=resource.name.startsWith(\"{literal}\")")
    };
    out += &format!(
        "gcloud storage buckets add-iam-policy-binding gs://{bucket} --member=\"serviceAccount:$EMAIL\" --role=\"projects/$PROJECT/roles/onrecordDelivers\" --condition={}\n\n",
        quoted(&condition)
    );
    match &options.credentials {
        Some(place) => {
            let file = match place {
                SecretRef::File(path) => path.display().to_string(),
                _ => format!("onrecord-{}.json", destination.name),
            };
            out += "# 4. Its key. Where the gateway runs at Google, leave `credentials` out and attach the account instead\n";
            out += &format!(
                "(umask 077 && gcloud iam service-accounts keys create {} --iam-account=\"$EMAIL\")\n",
                quoted(&file)
            );
        }
        None => {
            out += "# 4. No key is needed: attach the account to the machine (--service-account=\"$EMAIL\"), or in\n";
            out += "#    Kubernetes let the gateway's own service account be it (name your namespace and account):\n";
            out += "# gcloud iam service-accounts add-iam-policy-binding \"$EMAIL\" --role=roles/iam.workloadIdentityUser --member=\"serviceAccount:$PROJECT.svc.id.goog[NAMESPACE/ACCOUNT]\"\n";
        }
    }
    out
}

/// An account's name: 6 to 30 lower-case letters, digits and dashes.
fn account(destination: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = format!("onrecord-{destination}").chars().map(fits).take(30).collect();
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::setup::tests::documents;
    use crate::deliver::Store;

    fn printed(prefix: &str, credentials: Option<SecretRef>) -> String {
        let mut options = GcsOptions::new("audit-1");
        options.credentials = credentials;
        let mut destination = DestinationOptions::new("My_Vault", Store::Gcs(Box::new(options.clone())));
        destination.prefix = prefix.to_owned();
        print(&destination, &options)
    }

    #[test]
    fn the_account_creates_objects_below_the_prefix_and_no_more() {
        let text = printed("it's/", Some(SecretRef::File("/etc/onrecord/key.json".into())));
        assert!(documents(&text).is_empty());
        assert!(text.contains("ACCOUNT=onrecord-my-vault\n"));
        assert!(text.contains("--permissions=storage.objects.create\n"));
        assert!(text.contains("buckets/audit-1/objects/it'\\''s/"), "{text}");
        assert!(text.contains("keys create /etc/onrecord/key.json "));
        let text = printed("", None);
        assert!(text.contains("--condition=None\n") && !text.contains("keys create"));
        assert!(text.contains("roles/iam.workloadIdentityUser"));
    }

    #[test]
    fn a_long_name_is_still_an_accounts() {
        assert_eq!(account(&"x".repeat(64)).len(), 30);
        assert_eq!(account("a._."), "onrecord-a");
    }
}
