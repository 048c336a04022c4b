"""The demo: a year of New York flights plays the world, and the flight pipeline lives in it.

`world` lands flights and sends live traffic; `life` drives the embedded Airflow through it; `report` is the closing
table. `airloom demo` calls it. Not a part of the product's path: nothing else imports this package.
"""
