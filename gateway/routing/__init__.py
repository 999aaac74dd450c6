"""Where a call goes: ordered dialplan rules, numbers, emergency numbers first."""
