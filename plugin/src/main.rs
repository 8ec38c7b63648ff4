//! The kubectl plugin `kubectl infer`.

fn main() -> std::process::ExitCode {
    kubectl_infer::cli::main()
}
