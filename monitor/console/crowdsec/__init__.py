"""CrowdSec's Local API, spoken by us: its bouncers enforce our decisions, and cscli lists, adds and lifts them."""
