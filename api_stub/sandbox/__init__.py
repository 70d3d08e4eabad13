"""The sandbox: Twilio's REST API and a phone, played on this machine by a process of its own."""
