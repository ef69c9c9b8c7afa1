//! The Helm chart: installed by Helm's own library short of a cluster, and judged by Kubernetes' schemas.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::peers::{run, text};

/// The oldest Kubernetes that there are schemas of, what AKS engine on Azure Stack Hub runs at most, and the newest.
const VERSIONS: [&str; 3] = ["1.25", "1.29", "1.37"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the chart would create with these values, by kind; or what Helm or the schemas object to.
fn objects(values: &Value) -> Result<BTreeMap<String, Vec<Value>>, String> {
    let python = std::env::var("OCELLUS_PYTHON").unwrap_or_else(|_| {
        let cache = std::env::var("XDG_CACHE_HOME").unwrap_or(format!("{}/.cache", std::env::var("HOME").unwrap()));
        format!("{cache}/ocellus/python/bin/python")
    });
    let mut helm = Command::new(python)
        .arg(root().join("tests/peers/helm.py"))
        .arg(root().join("packaging/helm/ocellus"))
        .args(VERSIONS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the Python peers are installed: scripts/setup test");
    helm.stdin.take().unwrap().write_all(values.to_string().as_bytes()).unwrap();
    let output = helm.wait_with_output().unwrap();
    if !output.status.success() {
        return Err(text(&output.stderr));
    }
    let mut by_kind = BTreeMap::<String, Vec<Value>>::new();
    for object in serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap() {
        by_kind.entry(object["kind"].as_str().unwrap().to_owned()).or_default().push(object);
    }
    Ok(by_kind)
}

fn pod(objects: &BTreeMap<String, Vec<Value>>) -> &Value {
    &objects["StatefulSet"][0]["spec"]["template"]["spec"]
}

/// Values with everything switched on.
fn all() -> Value {
    json!({
        "image": {"repository": "registry.plant.example/ocellus", "tag": "1.2.3", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "config": "[mqtt]\nurl = \"mqtts://broker:8883\"\nusername = \"node\"\npassword_credential = \"mqtt\"\n\
                   [web]\nlisten = \"0.0.0.0:8642\"\nmetrics_token_credential = \"metrics\"\n",
        "credentials": {"values": {"mqtt": "swordfish", "metrics": "sesame"}},
        "environment": {"existingSecret": "store-keys"},
        "gpu": {"resource": "amd.com/gpu", "count": 2, "runtimeClassName": "other", "supplementalGroups": [105]},
        "persistence": {"storageClassName": "default", "size": "20Gi"},
        "models": {"existingClaim": "models"},
        "service": {"type": "LoadBalancer", "port": 80},
        "networkPolicy": {
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}],
        },
        "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "nodeSelector": {"e": "f"},
        "affinity": {"nodeAffinity": {}},
    })
}

#[test]
fn the_chart_as_it_is_runs_its_configuration() {
    let made = objects(&json!({})).unwrap();
    let kinds: Vec<&str> = made.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["ConfigMap", "NetworkPolicy", "PersistentVolumeClaim", "Service", "StatefulSet"]);
    let config = made["ConfigMap"][0]["data"]["ocellus.toml"].as_str().unwrap();
    // The model that the image has is in the checkout here.
    let config = config.replace("/usr/share/ocellus/models", root().join("models").to_str().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("ocellus.toml");
    std::fs::write(&file, config).unwrap();
    let checked = run(&["check", "--config", file.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(text(&checked.stderr).contains("ok (1 camera, 1 model)"));

    let container = &pod(&made)["containers"][0];
    assert_eq!(container["resources"]["limits"], json!({"memory": "2Gi", "nvidia.com/gpu": 1}));
    assert_eq!(container["image"], format!("localhost/ocellus:{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(made["NetworkPolicy"][0]["spec"]["ingress"], json!([]), "nobody reaches the page");
}

#[test]
fn what_is_switched_on_fits_together() {
    let made = objects(&all()).unwrap();
    let monitor = &made["ServiceMonitor"][0]["spec"];
    let service = &made["Service"][0];
    assert_eq!(monitor["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    for (label, value) in monitor["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][label], value);
        assert_eq!(&made["StatefulSet"][0]["spec"]["template"]["metadata"]["labels"][label], value);
    }
    let token = &monitor["endpoints"][0]["authorization"]["credentials"];
    let secret = made["Secret"].iter().find(|secret| secret["metadata"]["name"] == token["name"]).unwrap();
    assert_eq!(secret["stringData"][token["key"].as_str().unwrap()], "sesame");
    assert_eq!(made["Secret"].len(), 1, "an existing secret is not made anew");

    let container = &pod(&made)["containers"][0];
    assert_eq!(container["envFrom"], json!([{"secretRef": {"name": "store-keys"}}]));
    assert_eq!(container["resources"]["limits"], json!({"memory": "2Gi", "amd.com/gpu": 2}));
    let egress = &made["NetworkPolicy"][0]["spec"]["egress"];
    assert_eq!(egress[0]["ports"][0], json!({"port": 53, "protocol": "UDP"}), "names can be looked up");
    assert_eq!(egress.as_array().unwrap().len(), 2);

    // Without GPU and disk, and with what was made elsewhere.
    let made = objects(&json!({
        "gpu": {"enabled": false}, "persistence": {"enabled": false}, "networkPolicy": {"enabled": false},
        "credentials": {"existingSecret": "ours"}, "environment": {"values": {"AWS_SECRET_ACCESS_KEY": "x"}},
    }))
    .unwrap();
    let kinds: Vec<&str> = made.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["ConfigMap", "Secret", "Service", "StatefulSet"]);
    assert_eq!(pod(&made)["containers"][0]["resources"]["limits"], json!({"memory": "2Gi"}));
    let mounted = pod(&made)["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "credentials");
    assert_eq!(mounted.unwrap()["secret"]["secretName"], "ours");
}

#[test]
fn the_pod_is_closed_and_fits_the_image() {
    let made = objects(&all()).unwrap();
    let pod = pod(&made);
    let container = &pod["containers"][0];
    // Kubernetes' Pod Security Standards, level "restricted".
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);

    // Where the image expects something, there is a mount, and it runs as the image's user.
    let image = std::fs::read_to_string(root().join("packaging/container/Containerfile")).unwrap();
    let user = format!("USER {0}:{0}\n", pod["securityContext"]["runAsUser"]);
    assert!(image.contains(&user), "{user}");
    let mounts: Vec<&str> =
        container["volumeMounts"].as_array().unwrap().iter().filter_map(|mount| mount["mountPath"].as_str()).collect();
    for variable in ["STATE_DIRECTORY", "CACHE_DIRECTORY", "CREDENTIALS_DIRECTORY"] {
        let folder = image.lines().find_map(|line| {
            let said = line.trim().trim_start_matches("ENV ").trim_end_matches('\\').trim();
            said.strip_prefix(&format!("{variable}="))
        });
        assert!(mounts.contains(&folder.expect(variable)), "{variable}: {folder:?} is not in {mounts:?}");
    }
    for (probe, path) in [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "page"}));
    }
}

#[test]
fn another_configuration_or_secret_restarts_the_pod() {
    let sums = |values: &Value| {
        let made = objects(values).unwrap();
        made["StatefulSet"][0]["spec"]["template"]["metadata"]["annotations"].clone()
    };
    let before = sums(&all());
    let mut changed = all();
    changed["credentials"]["values"]["mqtt"] = json!("another");
    assert_ne!(sums(&changed)["checksum/secrets"], before["checksum/secrets"]);
    assert_eq!(sums(&changed)["checksum/config"], before["checksum/config"]);
    assert!(!before.to_string().contains("swordfish"));
}

#[test]
fn values_that_cannot_work_are_refused_with_the_reason() {
    let listen = "[web]\nlisten = \"0.0.0.0:8642\"\n";
    let cases = [
        (json!({"gpus": 1}), "'gpus' not allowed"),
        (json!({"image": {"pullPolicy": "Sometimes"}}), "'/image/pullPolicy'"),
        (json!({"gpu": {"count": 0}}), "'/gpu/count'"),
        (json!({"persistence": {"size": "big"}}), "'/persistence/size'"),
        (json!({"credentials": {"values": {"mqtt": ""}}}), "'/credentials/values/mqtt'"),
        (json!({"config": "[web]\nlisten = \"127.0.0.1:8642\"\n"}), "set listen = \"0.0.0.0:8642\" in the table [web]"),
        (json!({"serviceMonitor": {"enabled": true}}), "set metrics_token_credential = \"metrics\""),
        (
            json!({"serviceMonitor": {"enabled": true},
                   "config": format!("{listen}metrics_token_credential = \"metrics\"\n")}),
            "the token is missing",
        ),
        // What Helm lets through is for Kubernetes' schemas to find.
        (json!({"tolerations": [{"operators": "Exists"}]}), "operators"),
    ];
    for (values, wanted) in cases {
        let said = objects(&values).expect_err(&values.to_string());
        assert!(said.contains(wanted), "{values}: {said}");
    }
}
