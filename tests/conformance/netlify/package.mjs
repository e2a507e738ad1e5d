// Packages a folder of functions as Netlify does: node package.mjs FUNCTIONS ZIPS
import { zipFunctions } from "@netlify/zip-it-and-ship-it";

const [functions, zips] = process.argv.slice(2);
const results = await zipFunctions(functions, zips, { archiveFormat: "zip" });
console.log(JSON.stringify(results.map(({ name, path, runtime }) => ({ name, path, runtime }))));
