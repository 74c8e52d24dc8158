"""The compiled functions. They know arrays and tables, not models, and validate nothing."""
