"""studies: functions over lineages."""
