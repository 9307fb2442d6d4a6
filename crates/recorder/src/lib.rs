//! What turns a stream of lines into states, transitions, sessions and events.
