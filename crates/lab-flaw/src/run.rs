//! The program: start the server, listen in its place, end after what is in flight.

use crate::arguments::{Arguments, VARIABLES};
use crate::error::Error;
use crate::flaw::{Draw, Flaw};
use crate::options::Options;
use crate::proxy::{Proxy, listen};
use crate::server::Server;
use clap::Parser;
use hyper::header::HeaderValue;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the program with the arguments of this process; ends at SIGTERM or SIGINT, and with the
/// server.
pub fn run() -> ExitCode {
    let options = Options::parse();
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // An error means that a log is there already.
    let _ = log.try_init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(serve(&options)),
        Err(error) => Err(Error::Signals(error)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: &Options) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let flaw = options.flaw();
    if flaw == Flaw::Crash {
        return Err(Error::Crash);
    }
    let (program, arguments) = options
        .server
        .split_first()
        .expect("clap requires the server");
    let arguments = Arguments::read(arguments, |name| std::env::var(name).ok())?;
    let listener = bind(arguments.listen).await?;
    let behind = free_address().await?;
    let mut server = Server::start(program, &arguments.listening_on(behind), &VARIABLES)?;
    tracing::info!(?flaw, name = options.name, at = %arguments.listen, %behind, "listening");
    let proxy = Proxy {
        server: behind,
        name: HeaderValue::try_from(&options.name).expect("the parser takes plain words only"),
        flaw,
        draw: Draw::new(options.seed),
    };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is in flight"),
            _ = interrupt.recv() => tracing::info!("SIGINT: finishing what is in flight"),
        }
    };
    tokio::select! {
        () = listen(listener, proxy, stop) => {}
        error = server.ended(program) => return Err(error),
    }
    if let Some(status) = server.stop().await {
        tracing::info!(%status, "the server ended");
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| Error::Listen { address, source })
}

/// An address of loopback that nobody listens on. Somebody may take it before the server does; then
/// the server ends, and so do we.
async fn free_address() -> Result<SocketAddr, Error> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound = bind(any).await?.local_addr();
    bound.map_err(|source| Error::Listen {
        address: any,
        source,
    })
}
