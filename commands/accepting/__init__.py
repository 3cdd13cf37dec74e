"""What is asked of Corral becomes events in one append: decided, acknowledged, never carried out here."""
