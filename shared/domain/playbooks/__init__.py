"""What a playbook says. Its loader, which reads files, is shared.playbooks."""
