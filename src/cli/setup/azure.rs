//! For a container of Azure Blob Storage: the container, and a signature or role that creates and writes.

use super::{SetupArgs, quoted};
use crate::deliver::{AzureAuth, AzureOptions, DestinationOptions};
use crate::secret::SecretRef;
use serde_json::{Value, json};

/// The rights of the data plane that a Put Blob with `If-None-Match` needs.
const RIGHTS: [&str; 2] = [
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
];

/// The commands.
pub(super) fn print(args: &SetupArgs, destination: &DestinationOptions, options: &AzureOptions) -> String {
    let (host, path) = parts(&options.container);
    let (account, container) = (quoted(host.split('.').next().unwrap_or_default()), quoted(path));
    let name = format!("onrecord-{}", destination.name);
    let mut out = format!(
        "# For destination {} ({}). Run it with rights of an administrator.\n",
        destination.name, options.container
    );
    out += &format!("ACCOUNT={account}\nCONTAINER={container}\n\n");
    out += "# 1. The container, which nobody reads without a login. Nothing happens if it is there.\n";
    out += "az storage container create --account-name \"$ACCOUNT\" --name \"$CONTAINER\" --auth-mode login --public-access off\n\n";
    match &options.auth {
        AzureAuth::Identity { client_id } => {
            out += &identity(args, &name, client_id.as_deref());
        }
        auth => {
            if matches!(auth, AzureAuth::Key(_)) {
                out += "# The configuration names a key of the account, which allows everything. With a signature\n";
                out += "# it can do no more than it must: sas = { file = \"…\" } in place of account_key.\n";
            }
            let file = match auth {
                AzureAuth::Sas(SecretRef::File(path)) => path.display().to_string(),
                _ => format!("{name}.sas"),
            };
            out += &signature(&file);
            if matches!(auth, AzureAuth::Sas(SecretRef::Env(_))) {
                out += "# The configuration takes it from an environment variable: set that from the file.\n";
            }
        }
    }
    out
}

/// A signature that creates and writes, and can neither read, list nor delete.
fn signature(file: &str) -> String {
    let file = quoted(file);
    let mut out =
        "# 2. A signature that creates and writes (cw), and can neither read, list nor delete; for\n"
            .to_owned();
    out += "#    90 days. The gateway tells 14, 7 and 1 days before its end; renew it by the same command.\n";
    out += "EXPIRY=$(date -u -d '+90 days' +%Y-%m-%dT%H:%MZ)\n";
    out += &format!(
        "(umask 077 && az storage container generate-sas --account-name \"$ACCOUNT\" --name \"$CONTAINER\" --permissions cw --expiry \"$EXPIRY\" --https-only --auth-mode key --output tsv | tr -d '\\r\\n' > {file})\n"
    );
    out
}

/// A role for the gateway's own identity.
fn identity(args: &SetupArgs, name: &str, client_id: Option<&str>) -> String {
    let role: Value = json!({
        "Name": name,
        "IsCustom": true,
        "Description": "Onrecord creates objects, and can neither read, list nor delete them.",
        "Actions": [],
        "NotActions": [],
        "DataActions": RIGHTS,
        "NotDataActions": [],
        "AssignableScopes": ["/subscriptions/SUBSCRIPTION"],
    });
    let mut out =
        "# 2. What the gateway's identity may do: create and write objects, and nothing else\n".to_owned();
    out += "SUBSCRIPTION=$(az account show --query id --output tsv)\n";
    out += &format!("cat > {name}-role.json <<'JSON'\n{role:#}\nJSON\n");
    out += &format!("sed -i \"s/SUBSCRIPTION/$SUBSCRIPTION/\" {name}-role.json\n");
    out += &format!("az role definition create --role-definition @{name}-role.json\n\n");
    out += "# 3. The identity has it in this container alone\n";
    match &args.principal {
        Some(principal) => out += &format!("PRINCIPAL={}\n", quoted(principal)),
        None => match client_id {
            Some(client) => {
                out +=
                    &format!("PRINCIPAL=$(az ad sp show --id {} --query id --output tsv)\n", quoted(client));
            }
            None => {
                out += "# The object id of the gateway's identity: give it with --principal\n";
                out += "PRINCIPAL=00000000-0000-0000-0000-000000000000\n";
            }
        },
    }
    out += "SCOPE=$(az storage account show --name \"$ACCOUNT\" --query id --output tsv)/blobServices/default/containers/$CONTAINER\n";
    out += &format!(
        "az role assignment create --assignee-object-id \"$PRINCIPAL\" --assignee-principal-type ServicePrincipal --role {name} --scope \"$SCOPE\"\n\n"
    );
    out += "# In Kubernetes, workload identity: whom the identity trusts (name your identity, issuer and service account)\n";
    out += "# az identity federated-credential create --name onrecord --identity-name IDENTITY --resource-group GROUP --issuer ISSUER --subject system:serviceaccount:NAMESPACE:ACCOUNT --audiences api://AzureADTokenExchange\n";
    out
}

/// Host and path of a container's URL, which the configuration has judged.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').unwrap_or((rest, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::setup::tests::documents;
    use crate::deliver::Store;

    fn printed(auth: AzureAuth, principal: Option<&str>) -> String {
        let mut options = AzureOptions::new("https://acct.blob.core.windows.net/audit");
        options.auth = auth;
        let destination = DestinationOptions::new("vault", Store::Azure(Box::new(options.clone())));
        let args = SetupArgs { principal: principal.map(str::to_owned), ..SetupArgs::default() };
        print(&args, &destination, &options)
    }

    #[test]
    fn a_signature_creates_and_writes_and_no_more() {
        let text = printed(AzureAuth::Sas(SecretRef::File("/etc/on record/audit.sas".into())), None);
        assert!(documents(&text).is_empty());
        assert!(text.contains("ACCOUNT=acct\nCONTAINER=audit\n") && text.contains("--permissions cw "));
        assert!(text.contains("> '/etc/on record/audit.sas')") && text.contains("--https-only"));
        let text = printed(AzureAuth::Key(SecretRef::Env("KEY".into())), None);
        assert!(text.contains("allows everything") && text.contains("> onrecord-vault.sas)"));
    }

    #[test]
    fn an_identity_has_two_rights_in_the_container_alone() {
        let text = printed(AzureAuth::Identity { client_id: None }, Some("1-2-3"));
        let documents = documents(&text);
        assert_eq!(documents[0].0, "onrecord-vault-role.json");
        assert_eq!(documents[0].1["DataActions"], json!(RIGHTS));
        assert_eq!(documents[0].1["Actions"], json!([]));
        assert!(text.contains("PRINCIPAL=1-2-3\n") && text.contains("/containers/$CONTAINER\n"));
        assert!(!text.contains("generate-sas"));
    }
}
