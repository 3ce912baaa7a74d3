//! The commands that look on, in a terminal: the screen while the daemon works, stops
//! and comes back, and while the user stops, resizes and ends the command.

mod events;
mod pty;
mod top;
mod wait;
