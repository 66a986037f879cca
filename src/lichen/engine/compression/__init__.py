"""compression: fewer channels, fewer bits, a smaller student: and what each costs."""
