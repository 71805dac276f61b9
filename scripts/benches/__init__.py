"""Full counts and speeds: each bench measures one thing and is held to its budget."""
