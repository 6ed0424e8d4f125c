"""What is killed, frozen, cut off or raced with, and what must hold all the same."""
