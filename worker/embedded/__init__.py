"""Everything `./dev up` runs on one machine: a broker, the processes and their supervisor."""
