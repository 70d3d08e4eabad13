"""Twilio Verify v2's wire shape. docs/compatibility.md says where it differs."""
