"""Closed-loop evaluation: paired statistics, suites, films of failures and the report."""
