//! Sessions: the program as kubectl runs it. (`cfg(test)` marks helpers as tests for clippy.)

#[cfg(test)]
mod check;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod trouble;
