//! Sessions: the program as kubectl runs it. (`cfg(test)` marks helpers as tests for clippy.)

#[cfg(test)]
mod canary;
#[cfg(test)]
mod check;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod drill;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod scaffold;
#[cfg(test)]
mod served;
#[cfg(test)]
mod split;
#[cfg(test)]
mod split_route;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod tested;
#[cfg(test)]
mod tested_curl;
#[cfg(test)]
mod tested_route;
#[cfg(test)]
mod trouble;
